#!/usr/bin/env python3
"""Compares `bilstm` with the PyTorch script that it replaces. See bench/README.md."""

import datetime
import json
import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
from comparison.rows import read, write
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

BASELINE = ROOT / "bench/baselines/torch_bilstm.py"
SECTIONS = ["step", "whole", "start", "read", "accuracy"]
SIDES = ["bilstm", "PyTorch"]
SETS = ["sms_spam", "ag_news", "imdb"]
# The old script's network and training, flag by flag.
OLD = (
    "--vocab-size 1000 --seq-len 100 --emb-size 100 --hidden-size 200 --num-layers 2 "
    "--batch-size 16 --learning-rate 1e-3 --dropout 0"
).split()
# Trainyard's own flags, set to what the old script does.
OURS = "--pooling last --clip-norm 0 --schedule constant --patience 0 --no-buckets".split()
PLAIN = ["--validation-split", 0, "--no-report"]
# So little training that reading takes nearly all of the time.
TINY = (
    "--vocab-size 1000 --seq-len 100 --dropout 0 --emb-size 8 --hidden-size 4 --num-layers 1 "
    "--batch-size 1"
).split()
# Targets for the ratio to PyTorch. A tenth of a step is noise (bench/README.md).
NO_MORE, NO_MORE_STEP, WHOLE, START, HALF, TENTH = 1.0, 1.1, 0.8, 0.2, 0.5, 0.1
LESS_ACCURATE = -0.01


class Bench:
    """One comparison: its files and results."""

    def __init__(self, args, folder):
        self.pairs, self.smoke, self.data, self.threads = (
            args.pairs,
            args.smoke,
            args.data,
            args.threads,
        )
        self.sets, self.alone = args.sets, args.alone
        self.torch = venv("tests/torch-requirements.txt")
        self.bilstm = (args.bilstm or build("bilstm") / "bilstm").resolve()
        self.folder, self.raw, self.lines = folder, [], []
        self.table = Table(*SIDES, strict=not args.smoke)

    def run(self, name, side, command, **facts):
        """Runs and records one measured process."""
        result = measured(command)
        record = {key: value for key, value in result.items() if key != "stdout"}
        self.raw.append({"name": name, "side": side, **facts, **record, "load": load()})
        print(
            f"  {name:24} {side:12} {result['wall_seconds']:8.3f} s wall "
            f"{result['cpu_seconds']:8.3f} s cpu "
            f"{result['peak_bytes'] / 1e6:8.1f} MB",
            flush=True,
        )
        return result

    def note(self, name, side, pair, seconds):
        self.raw.append(
            {"name": name, "side": side, "pair": pair, "seconds": seconds, "load": load()}
        )
        print(f"  {name:24} {side:12} {seconds:8.3f} s", flush=True)
        return seconds

    def add_lines(self, *lines):
        self.lines.extend(lines)

    def rows(self, name, part, count=None):
        """Returns a data set's file, or a sample of it."""
        source = self.sample(part) if self.smoke else self.data / name / f"{part}.csv"
        if count is None or self.smoke:
            return source
        target = self.folder / f"{name}-{part}-{count}.csv"
        return target if target.exists() else every_nth(source, target, count)

    def sample(self, part):
        """Returns a part of data/movie.csv, for --smoke."""
        target = self.folder / f"sample-{part}.csv"
        head, *rows = read(ROOT / "data/movie.csv")
        write(target, head, rows[:100] if part == "train" else rows[480:])
        return target

    def by_pair(self, run):
        """Calls `run` for each side and pair. Returns {pair: result} of each side."""
        found = {side: {} for side in SIDES}
        for pair in range(self.pairs):
            for side in alternate(SIDES, pair):
                found[side][pair] = run(side, pair)
        return [found[side] for side in SIDES]

    def ours(self, train, *flags):
        model = self.folder / "model"
        shutil.rmtree(model, ignore_errors=True)
        return [
            self.bilstm,
            "train",
            "--train",
            train,
            "--model-dir",
            model,
            "--threads",
            self.threads,
            *flags,
        ]

    def baseline(self, train, test, *flags):
        return [
            self.torch,
            BASELINE,
            train,
            test,
            self.folder / "baseline.pt",
            "--threads",
            self.threads,
            *flags,
        ]

    def accuracy(self, test):
        command = [
            self.bilstm,
            "evaluate",
            "--model-dir",
            self.folder / "model",
            "--data",
            test,
            "--json",
        ]
        return json.loads(measured(command)["stdout"])


def of(key, sides):
    """Returns {pair: value of `key`} of each side."""
    return [{pair: found[key] for pair, found in side.items()} for side in sides]


def compare_step(bench):
    """Compares a step of the old script's network: the cost of two more epochs, by steps."""
    count = 100 if bench.smoke else 800
    train, test = bench.rows("imdb", "train", count), bench.rows("imdb", "test", 100)
    steps = 2 * -(-count // 16)
    bench.add_lines(
        "## A training step of the old script's network (batch 16 x 100)", "", *bench.table.head
    )
    every = bench.threads

    def run(side, pair):
        runs = []
        for epochs in [1, 3]:
            flags = [*OLD, "--epochs", epochs]
            command = (
                bench.ours(train, *flags, *OURS, *PLAIN)
                if side == "bilstm"
                else bench.baseline(train, test, *flags)
            )
            runs.append(
                bench.run("step", side, command, epochs=epochs, threads=bench.threads, pair=pair)
            )
        return {
            key: (runs[1][key] - runs[0][key]) / steps for key in ("wall_seconds", "cpu_seconds")
        }

    for threads in sorted({1, every}):
        bench.threads = threads
        sides = bench.by_pair(run)
        for title, key in [("CPU", "cpu_seconds"), ("wall", "wall_seconds")]:
            bench.add_lines(
                bench.table.row(
                    f"{title}, {threads} threads", *of(key, sides), "ms", 1000, NO_MORE_STEP
                )
            )
    bench.threads = every
    bench.add_lines("")


def compare_whole(bench):
    """Compares whole processes: read, tokenise, train one epoch, evaluate, save."""
    train, test = bench.rows("imdb", "train", 4000), bench.rows("imdb", "test", 2000)
    flags = [*OLD, "--epochs", 1]
    sides = bench.by_pair(
        lambda side, pair: bench.run(
            "whole",
            side,
            bench.ours(train, "--test", test, *flags, *OURS, *PLAIN)
            if side == "bilstm"
            else bench.baseline(train, test, *flags),
            pair=pair,
        )
    )
    bench.add_lines(
        "## The whole process: 4,000 rows of IMDB, one epoch, 2,000 test rows, model saved",
        "",
        *bench.table.head,
    )
    for title, key, scale, unit, max_ratio in [
        ("wall", "wall_seconds", 1, "s", WHOLE),
        ("CPU", "cpu_seconds", 1, "s", NO_MORE),
        ("peak memory", "peak_bytes", 1e-6, "MB", HALF),
    ]:
        bench.add_lines(bench.table.row(title, *of(key, sides), unit, scale, max_ratio))
    bench.add_lines("")


def compare_start(bench):
    """Compares the time from process start to the end of the first step."""
    train, test = bench.rows("imdb", "train"), bench.rows("imdb", "test", 100)

    def run(side, pair):
        flags = [*OLD, "--epochs", 1]
        command = (
            bench.ours(train, *flags, *OURS, *PLAIN)
            if side == "bilstm"
            else bench.baseline(train, test, *flags)
        )
        return bench.note("start", side, pair, seconds_until(command, FIRST_STEP)[0])

    bench.add_lines(
        "## From process start to the first step, all of IMDB read and tokenised",
        "",
        *bench.table.head,
        bench.table.row("wall", *bench.by_pair(run), "s", max_ratio=START),
        "",
    )


def compare_read(bench):
    """Compares reading and tokenising.

    Trainyard's time ends with the first step of a tiny network, so it is an upper bound.
    """
    train, test = bench.rows("imdb", "train"), bench.rows("imdb", "test", 100)

    def run(side, pair):
        if side == "bilstm":
            command = bench.ours(train, *TINY, *OURS, *PLAIN, "--epochs", 1)
            began, ended = seconds_until(command, "reading the data", FIRST_STEP)
            return bench.note("read", side, pair, ended - began)
        baseline = bench.run(
            "read", side, bench.baseline(train, test, *TINY, "--epochs", 0), pair=pair
        )
        return bench.note("read", side, pair, json.loads(baseline["stdout"])["read_seconds"])

    bench.add_lines(
        "## Reading and tokenising all of IMDB; of ours also the first step of a tiny network",
        "",
        *bench.table.head,
        bench.table.row("wall", *bench.by_pair(run), "s", max_ratio=TENTH),
        "",
    )


def compare_accuracy(bench):
    """Compares accuracy: default flags against the corrected PyTorch script of the same size."""
    bench.add_lines(
        "## Accuracy on the test set (default flags; corrected PyTorch script)",
        "",
        "| | bilstm | macro-F1 | wall | CPU | peak | PyTorch | macro-F1 | wall | CPU | peak |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    )
    # The same vocabulary size and length as Trainyard's defaults.
    baseline = (
        "--sound --vocab-size 20000 --seq-len 400 --hidden-size 100 --num-layers 1 "
        "--batch-size 32 --learning-rate 2e-3 --dropout 0.5"
    ).split()
    # An epoch of the baseline on IMDB takes minutes.
    epochs = {"imdb": 1} if bench.smoke else {"sms_spam": 5, "ag_news": 5, "imdb": 3}
    for name in ["imdb"] if bench.smoke else bench.sets:
        train, test = bench.rows(name, "train"), bench.rows(name, "test")
        result = bench.run(f"accuracy {name}", "bilstm", bench.ours(train))
        sides = [(bench.accuracy(test), result)]
        if not bench.alone:
            result = bench.run(
                f"accuracy {name}",
                "PyTorch",
                bench.baseline(train, test, *baseline, "--epochs", epochs[name]),
            )
            sides.append((json.loads(result["stdout"]), result))
        cells = []
        if not bench.alone:
            bench.table.accuracy(
                f"accuracy on {name}", *(score["accuracy"] for score, _ in sides), LESS_ACCURATE
            )
        for side, (score, run) in zip(SIDES, sides):
            bench.raw.append(
                {
                    "name": f"accuracy {name}",
                    "side": side,
                    "accuracy": score["accuracy"],
                    "macro_f1": score["macro_f1"],
                }
            )
            print(f"  {name}: {side} {score['accuracy']:.4f}", flush=True)
            cells += [
                f"{score['accuracy']:.4f}",
                f"{score['macro_f1']:.4f}",
                f"{run['wall_seconds']:.0f} s",
                f"{run['cpu_seconds']:.0f} s",
                f"{run['peak_bytes'] / 1e6:.0f} MB",
            ]
        cells += ["not run"] * (10 - len(cells))
        bench.add_lines(f"| {name} | " + " | ".join(cells) + " |")
    bench.add_lines("")


def arguments():
    parser = argument_parser(
        __doc__, "imdb/, ag_news/ and sms_spam/, each with train.csv and test.csv", "bilstm"
    )
    parser.add_argument("--pairs", type=int, default=3, help="repetitions of each measurement")
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="results' folder [default: bench/runs/<date>-<machine>-bilstm]",
    )
    parser.add_argument("--only", choices=SECTIONS, nargs="+", help="measure only these sections")
    parser.add_argument(
        "--sets", choices=SETS, nargs="+", default=SETS, help="data sets of the section `accuracy`"
    )
    parser.add_argument(
        "--alone",
        action="store_true",
        help="no PyTorch in the section `accuracy`: it takes a quarter of an hour on IMDB",
    )
    return parse(parser)


def main():
    args = arguments()
    environment = machine_info(args.threads)
    sections = "".join(
        f"-{part}" for part in [*(args.only or []), *(args.sets if args.sets != SETS else [])]
    )
    target = args.out or run_folder(args.machine or environment["cpu"], f"bilstm{sections}")
    if not args.smoke:
        require_commit(target)
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as folder:
        bench = Bench(args, pathlib.Path(folder))
        for section in args.only or SECTIONS:
            print(f"==> {section}", flush=True)
            globals()[f"compare_{section}"](bench)
    environment["load_after"] = load()
    lines = [
        f"# bilstm against PyTorch, {datetime.date.today()}",
        "",
        f"{environment['cpu']}, {environment['cores']} cores, {args.threads} threads; "
        f"medians of {args.pairs} pairs, ratios within a pair; "
        f"load {environment['load_before']:.1f} before, {environment['load_after']:.1f} after.",
        "",
        *bench.lines,
    ]
    code = finish(args, target, lines, environment, bench.table.missed)
    if not args.smoke:
        (target / "raw.jsonl").write_text("".join(json.dumps(line) + "\n" for line in bench.raw))
    return code


if __name__ == "__main__":
    sys.exit(main())
