#!/usr/bin/env python3
"""Compares `bilstm` on an NVIDIA GPU with a CPU, and trains on all of IMDB. See bench/README.md."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import gpu


def check(bench):
    """Compares GPU and CPU for few epochs, because rounding differences grow.

    After twice as many epochs, losses differed by 0.09, with equal accuracy.
    """
    flags = (
        "--epochs 4 --validation-split 0 --seq-len 200 --emb-size 64 --hidden-size 64 "
        "--learning-rate 3e-3 --schedule constant --seed 1"
    ).split()
    # cuDNN rounds to TF32 in f32 too, as it does in PyTorch.
    return gpu.check(bench, flags, {"full": (1e-2, 0.1), "mixed": (2e-2, 0.2)}, learnt=0.6)


def accuracy(bench):
    """The default network, as on a CPU (bench/runs/2026-11-26-amd-epyc-bilstm-imdb)."""
    lines = ["## All of IMDB, default flags", ""]
    for precision in ("full", "mixed"):
        found = bench.train(
            f"imdb-{precision}",
            bench.args.data / "imdb/train.csv",
            "--test",
            bench.args.data / "imdb/test.csv",
            "--device",
            "cuda",
            "--precision",
            precision,
        )
        rate, tokens = max(found["rows_per_second"]), max(found["tokens_per_second"])
        line = (
            f"--precision {precision}: accuracy on imdb/test.csv {found['accuracy']:.4f} "
            f"(at least 0.87), {found['wall_seconds']:.0f} s, "
            f"{rate:,.0f} rows and {tokens:,.0f} tokens a second, "
            f"{found['card_mib']} MiB of the GPU"
        )
        lines.append(bench.target(line, found["accuracy"] >= 0.87))
    return [*lines, ""]


SECTIONS = {"check": check, "accuracy": accuracy}


def main():
    parser = gpu.parser(__doc__, SECTIONS)
    parser.add_argument(
        "--bilstm",
        type=pathlib.Path,
        default=ROOT / "target/release/bilstm",
        help="binary built with a libtorch for CUDA",
    )
    args = parser.parse_args()
    gpu.needs(
        parser,
        args,
        [(args.bilstm, "trainers/bilstm/get-libtorch cuda && cargo build --release -p bilstm")],
    )
    gpu.run(args, "bilstm", args.bilstm, SECTIONS)


if __name__ == "__main__":
    main()
