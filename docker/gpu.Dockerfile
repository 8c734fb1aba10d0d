# `transformer` with CUDA, by a Docker engine that can pull NVIDIA's images: docs/guide/gpus.md.
#
#   git archive HEAD | docker build -f docker/gpu.Dockerfile --build-arg CAP=70 -t transformer-gpu -   # V100, ml.p3
#   git archive HEAD | docker build -f docker/gpu.Dockerfile --build-arg CAP=80 -t transformer-gpu -   # A100, A10G, L4, H100
#
# CUDA 12 is the last that knows the V100, and 12.4 runs with the drivers from 550 on. Nobody has built this yet.
ARG CUDA=12.4.1
ARG SYSTEM=ubuntu22.04

FROM --platform=linux/amd64 nvidia/cuda:${CUDA}-devel-${SYSTEM} AS compiled
ARG CAP=80
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends ca-certificates curl gcc g++ libc6-dev >/dev/null
WORKDIR /source
COPY . .
ENV PATH=/root/.cargo/bin:$PATH CUDA_COMPUTE_CAP=${CAP}
# The toolchain that rust-toolchain.toml names, without its clippy and rustfmt.
RUN version=$(sed -n 's/^channel *= *"\(.*\)"$/\1/p' rust-toolchain.toml); \
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain "$version"
# The driver's library is not in the image: its stub is enough to link.
RUN export RUSTUP_TOOLCHAIN=$(sed -n 's/^channel *= *"\(.*\)"$/\1/p' rust-toolchain.toml) LIBRARY_PATH=/usr/local/cuda/lib64/stubs; \
    cargo rustc --release --locked -p transformer --bin transformer --features parquet,nccl -- -Cstrip=symbols

# With cuBLAS, cuRAND and NCCL; the driver comes from NVIDIA's container runtime.
FROM --platform=linux/amd64 nvidia/cuda:${CUDA}-runtime-${SYSTEM}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends ca-certificates >/dev/null && rm -rf /var/lib/apt/lists/*
COPY --from=compiled /source/target/release/transformer /usr/local/bin/transformer
WORKDIR /
ENTRYPOINT ["/usr/local/bin/transformer"]
CMD ["train"]
