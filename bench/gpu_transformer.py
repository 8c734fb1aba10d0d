#!/usr/bin/env python3
"""Compares `transformer` on an NVIDIA GPU with a CPU and with transformers. See bench/README.md."""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import gpu
from gpu import Memory, smi
from measure import measured

BASELINE = ROOT / "bench/baselines/transformers_finetune.py"
# Dense products in bf16 with sums in f32, TFLOP/s, from NVIDIA's data sheets; f16 for a V100.
PEAKS = {"V100": 125, "A10G": 70, "L4": 121, "A100": 312, "H100": 989, "H200": 989}


def baseline(bench, name, rows, *flags):
    command = [
        bench.args.python,
        "-B",
        BASELINE,
        "train",
        rows,
        bench.folder / name,
        "--pretrained-model",
        bench.args.pretrained_model,
        "--device",
        "cuda",
        *flags,
    ]
    with Memory() as memory:
        process = measured(command)
    found = json.loads(process["stdout"].strip().splitlines()[-1])
    return bench.note(
        {"name": name, "wall_seconds": process["wall_seconds"], "card_mib": memory.most, **found}
    )


def check(bench):
    """The loss falls from 0.69 to 0.12."""
    flags = ["--epochs", 3, "--patience", 0, "--max-len", 128, "--learning-rate", 1e-4, "--seed", 1]
    return gpu.check(bench, flags, {"full": (1e-2, 5e-2), "mixed": (5e-2, 0.25)}, learnt=0.3)


def flops_per_token(config, tokens):
    """Returns the FLOPs of a training step per token (Kaplan et al. 2020).

    `tokens`: mean length of a text.
    """
    hidden, layers, wide = (
        config[key] for key in ("hidden_size", "num_hidden_layers", "intermediate_size")
    )
    return 6 * layers * (4 * hidden**2 + 2 * hidden * wide) + 12 * layers * hidden * tokens


def speed(bench):
    args = bench.args
    rows = bench.part("train", args.rows)
    flags = ["--epochs", 1, "--batch-size", args.batch_size, "--max-len", 256]
    ours = bench.train("speed", rows, *flags, "--device", "cuda", "--validation-split", 0)
    theirs = baseline(bench, "baseline", rows, *flags, "--group-by-length")
    mine, other = ours["rows_per_second"][0], args.rows / theirs["train_seconds"]
    card = smi("name")
    peak = args.peak or next((peak for name, peak in PEAKS.items() if name in card), None)
    tokens = ours["tokens_per_second"][0]
    config = json.loads((args.pretrained_model / "config.json").read_text())
    work = tokens * flops_per_token(config, tokens / mine) / 1e12
    share = f", {work / peak:.1%} of the card's {peak}" if peak else ""
    return [
        f"## Training, {args.rows:,} rows of IMDB, 256 tokens, batch {args.batch_size}, "
        "half precision",
        "",
        "| | transformer | transformers | ratio |",
        "|---|---|---|---|",
        f"| rows per second | {mine:.0f} | {other:.0f} | {mine / other:.2f} |",
        f"| process, wall | {ours['wall_seconds']:.1f} s | {theirs['wall_seconds']:.1f} s | "
        f"{ours['wall_seconds'] / theirs['wall_seconds']:.2f} |",
        f"| memory of the card | {ours['card_mib']} MiB | {theirs['card_mib']} MiB | |",
        "",
        f"{tokens:.0f} tokens a second are {work:.1f} TFLOP/s{share}.",
        "",
        bench.target(
            "rows per second at least those of transformers' Trainer with bf16", mine >= other
        ),
        "",
    ]


def accuracy(bench):
    """At 0.92 of bench/runs/2026-11-26-nvidia-h200-transformer, by its flags."""
    found = bench.train(
        "imdb",
        bench.args.data / "imdb/train.csv",
        "--test",
        bench.args.data / "imdb/test.csv",
        "--device",
        "cuda",
        "--epochs",
        bench.args.epochs,
        "--max-len",
        384,
        "--learning-rate",
        1e-4,
        "--batch-size",
        bench.args.batch_size,
    )
    return [
        "## All of IMDB",
        "",
        bench.target(
            f"accuracy on imdb/test.csv {found['accuracy']:.4f} (at least 0.92), "
            f"{found['wall_seconds']:.0f} s",
            found["accuracy"] >= 0.92,
        ),
        "",
    ]


SECTIONS = {"check": check, "speed": speed, "accuracy": accuracy}


def main():
    parser = gpu.parser(__doc__, SECTIONS)
    parser.add_argument(
        "--transformer",
        type=pathlib.Path,
        default=ROOT / "target/release/transformer",
        help="binary built with --features cuda",
    )
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="a Python with transformers, accelerate and a PyTorch for the GPU",
    )
    parser.add_argument(
        "--pretrained-model",
        type=pathlib.Path,
        default=ROOT / "models/minilm",
        help="checkpoint [default: models/minilm, from get-minilm]",
    )
    parser.add_argument("--rows", type=int, default=20_000, help="rows of the section `speed`")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2, help="epochs of the section `accuracy`")
    parser.add_argument(
        "--peak", type=float, help="TFLOP/s of the GPU in half precision [default: by its name]"
    )
    args = parser.parse_args()
    gpu.needs(
        parser,
        args,
        [
            (args.transformer, "docs/guide/gpus.md says how to build it"),
            (
                args.pretrained_model / "config.json",
                "trainers/transformer/get-minilm models/minilm",
            ),
        ],
    )
    gpu.run(
        args,
        "transformer",
        args.transformer,
        SECTIONS,
        ("--pretrained-model", args.pretrained_model),
    )


if __name__ == "__main__":
    main()
