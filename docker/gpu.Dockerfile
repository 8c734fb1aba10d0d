# Compiles `transformer` with CUDA and packs it with NVIDIA's run-time libraries: docs/guide/gpus.md.
# Not tested: it needs images from NVIDIA.
#
#   docker build --build-arg CAP=70 -t transformer-gpu -f docker/gpu.Dockerfile .   # V100
#   docker build --build-arg CAP=80 -t transformer-gpu -f docker/gpu.Dockerfile .   # A100 and newer
#
# CAP        compute capability of the oldest GPU
# CUDA       CUDA 12 is the last version for the V100; 12.4 needs a driver of version 550 or newer
ARG CUDA=12.4.1
ARG SYSTEM=ubuntu22.04

FROM --platform=linux/amd64 nvidia/cuda:${CUDA}-devel-${SYSTEM} AS build
ARG CAP=80
ARG RUST=1.95.0
RUN apt-get update -qq && \
    apt-get install -y -qq --no-install-recommends ca-certificates curl gcc g++ libc6-dev
RUN curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | \
    sh -s -- -y --profile minimal --default-toolchain ${RUST}
WORKDIR /source
COPY . .
# The driver is not in the image; the linker uses its stub.
ENV PATH=/root/.cargo/bin:$PATH CUDA_COMPUTE_CAP=${CAP} LIBRARY_PATH=/usr/local/cuda/lib64/stubs
RUN cargo build --release --locked --package transformer --features parquet,serve,nccl && \
    strip target/release/transformer

# It has cuBLAS, cuRAND and NCCL. NVIDIA's container runtime adds the driver.
FROM --platform=linux/amd64 nvidia/cuda:${CUDA}-runtime-${SYSTEM}
RUN apt-get update -qq && \
    apt-get install -y -qq --no-install-recommends ca-certificates && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /source/target/release/transformer /usr/local/bin/trainer
WORKDIR /
ENTRYPOINT ["/usr/local/bin/trainer"]
CMD ["train"]
