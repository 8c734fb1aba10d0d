#!/usr/bin/env python3
"""Compares `bilstm` with the PyTorch script that it replaces. See bench/README.md."""

import argparse
import csv
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
from measure import cpu_model, load, measured, median, memory_bytes, venv  # noqa: E402

TWIN = ROOT / "bench/twins/torch_bilstm.py"
SECTIONS = ["step", "whole", "start", "accuracy"]
SETS = ["sms_spam", "ag_news", "imdb"]
# The old script's network and training, flag by flag.
OLD = ["--vocab-size", 1000, "--seq-len", 100, "--emb-size", 100, "--hidden-size", 200, "--num-layers", 2,
       "--batch-size", 16, "--learning-rate", 1e-3, "--dropout", 0]
# What only ours has, set to what the old script does.
OURS = ["--pooling", "last", "--clip-norm", 0, "--schedule", "constant", "--patience", 0, "--no-buckets"]
PLAIN = ["--validation-split", 0, "--no-report"]
HEAD = ["| | bilstm | PyTorch | ratio |", "|---|---|---|---|"]


class Bench:
    """One comparison: where things are, and what has been measured so far."""

    def __init__(self, args, folder):
        self.pairs, self.smoke, self.data, self.threads = args.pairs, args.smoke, args.data, args.threads
        self.sets, self.alone = args.sets, args.alone
        self.torch = venv("tests/torch-requirements.txt")
        self.bilstm = (args.bilstm or build()).resolve()
        self.folder, self.raw, self.lines = folder, [], []

    def run(self, name, side, command, **facts):
        """One measured process; kept in the raw results."""
        result = measured(command)
        kept = {key: value for key, value in result.items() if key != "stdout"}
        self.raw.append({"name": name, "side": side, **facts, **kept, "load": load()})
        print(f"  {name:24} {side:12} {result['wall_seconds']:8.3f} s wall {result['cpu_seconds']:8.3f} s cpu "
              f"{result['peak_bytes'] / 1e6:8.1f} MB", flush=True)
        return result

    def say(self, *lines):
        self.lines.extend(lines)

    def rows(self, name, part, count=None):
        """A data set's file, or its first rows."""
        source = self.sample(part) if self.smoke else self.data / name / f"{part}.csv"
        if count is None or self.smoke:
            return source
        target = self.folder / f"{name}-{part}-{count}.csv"
        if not target.exists():
            with open(source, encoding="utf-8", newline="") as rows, open(target, "w", encoding="utf-8", newline="") as out:
                writer = csv.writer(out, lineterminator="\n")
                # Files may be sorted by label: every n-th row.
                everything = list(csv.reader(rows))
                step = max((len(everything) - 1) // count, 1)
                writer.writerows([everything[0], *everything[1::step][:count]])
        return target

    def sample(self, part):
        """The sample of the repository cut in two, for --smoke."""
        target = self.folder / f"sample-{part}.csv"
        with open(ROOT / "data/movie.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        with open(target, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([rows[0], *(rows[1:101] if part == "train" else rows[481:])])
        return target

    def ours(self, train, *flags):
        model = self.folder / "model"
        shutil.rmtree(model, ignore_errors=True)
        return [self.bilstm, "train", "--train", train, "--model-dir", model, "--threads", self.threads, *flags]

    def twin(self, train, test, *flags):
        # On a machine that does other work, OpenMP's threads would wait for each other by spinning: ten times the CPU time.
        return ["env", "OMP_WAIT_POLICY=passive", self.torch, TWIN, train, test, self.folder / "twin.pt", "--threads", self.threads,
                *flags]

    def accuracy(self, test):
        command = [self.bilstm, "evaluate", "--model-dir", self.folder / "model", "--data", test, "--json"]
        return json.loads(measured(command)["stdout"])


def ratio_row(name, ours, theirs, unit):
    return f"| {name} | {ours:.4g} {unit} | {theirs:.4g} {unit} | {ours / theirs:.3f} |"


def compare_step(bench):
    """A step of the old script's network: what two more epochs cost, by steps. On one thread and on all."""
    count = 100 if bench.smoke else 800
    train, test = bench.rows("imdb", "train", count), bench.rows("imdb", "test", 100)
    steps = 2 * -(-count // 16)
    bench.say("## A training step of the old script's network (batch 16 x 100)", "", *HEAD)
    every = bench.threads
    for threads in sorted({1, every}):
        bench.threads = threads
        found = {"bilstm": [], "PyTorch": []}
        for pair in range(bench.pairs):
            for side in found:
                runs = []
                for epochs in [1, 3]:
                    flags = [*OLD, "--epochs", epochs]
                    command = bench.ours(train, *flags, *OURS, *PLAIN) if side == "bilstm" else bench.twin(train, test, *flags)
                    runs.append(bench.run("step", side, command, epochs=epochs, threads=threads, pair=pair))
                found[side].append({key: (runs[1][key] - runs[0][key]) / steps for key in ("wall_seconds", "cpu_seconds")})
        for title, key in [("CPU", "cpu_seconds"), ("wall", "wall_seconds")]:
            ours, theirs = (median(found[side], key) * 1000 for side in found)
            bench.say(ratio_row(f"{title}, {threads} threads", ours, theirs, "ms"))
    bench.threads = every
    bench.say("")


def compare_whole(bench):
    """Read, tokenise, train one epoch, evaluate, save."""
    train, test = bench.rows("imdb", "train", 4000), bench.rows("imdb", "test", 2000)
    ours, theirs = [], []
    for pair in range(bench.pairs):
        flags = [*OLD, "--epochs", 1]
        ours.append(bench.run("whole", "bilstm", bench.ours(train, "--test", test, *flags, *OURS, *PLAIN), pair=pair))
        theirs.append(bench.run("whole", "PyTorch", bench.twin(train, test, *flags), pair=pair))
    bench.say("## The whole process: 4,000 rows of IMDB, one epoch, 2,000 test rows, model saved", "", *HEAD)
    for title, key, scale, unit in [("wall", "wall_seconds", 1, "s"), ("CPU", "cpu_seconds", 1, "s"),
                                    ("peak memory", "peak_bytes", 1e-6, "MB")]:
        bench.say(ratio_row(title, median(ours, key) * scale, median(theirs, key) * scale, unit))
    bench.say("")


def first_step(command):
    """Seconds from the start of the process until it says that its first step is done; it is ended then."""
    began = time.perf_counter()
    command = [str(part) for part in command]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
        for line in child.stderr:
            if re.search(r"\bstep 1\b|first step", line):
                seconds = time.perf_counter() - began
                child.kill()
                return seconds
    raise SystemExit(f"error: no first step in what `{command[0]}` said")


def compare_start(bench):
    """From the start of the process to the end of the first step; and what of it is reading and tokenising."""
    train, test = bench.rows("imdb", "train"), bench.rows("imdb", "test", 100)
    ours, theirs = [], []
    for _ in range(bench.pairs):
        ours.append({"seconds": first_step(bench.ours(train, *OLD, *OURS, *PLAIN, "--epochs", 1))})
        theirs.append({"seconds": first_step(bench.twin(train, test, *OLD, "--epochs", 1))})
        bench.raw += [{"name": "start", "side": "bilstm", **ours[-1]}, {"name": "start", "side": "PyTorch", **theirs[-1]}]
    bench.say("## From process start to the first step, all of IMDB read and tokenised", "", *HEAD,
              ratio_row("wall", median(ours, "seconds"), median(theirs, "seconds"), "s"))
    read = bench.run("read", "PyTorch", bench.twin(train, test, *OLD, "--epochs", 0))
    seconds = json.loads(read["stdout"])["read_seconds"]
    bench.say(ratio_row("all that ours does until then, against reading and tokenising alone",
                        median(ours, "seconds"), seconds, "s"), "")


def compare_accuracy(bench):
    """Defaults against a sound PyTorch script of the same size: ids of their own, packed sequences, pooling."""
    bench.say("## Accuracy on the test set (default flags; the twin with ids of its own, packed sequences, pooling)", "",
              "| | bilstm | macro-F1 | wall | CPU | peak | PyTorch | macro-F1 | wall | CPU | peak |",
              "|---|---|---|---|---|---|---|---|---|---|---|")
    # As many words and ids a text as ours reads.
    twin = ["--sound", "--vocab-size", 20000, "--seq-len", 400, "--hidden-size", 100, "--num-layers", 1, "--batch-size", 32,
            "--learning-rate", 2e-3, "--dropout", 0.5]
    # An epoch of the twin on IMDB takes minutes.
    epochs = {"imdb": 1} if bench.smoke else {"sms_spam": 5, "ag_news": 5, "imdb": 3}
    for name in ["imdb"] if bench.smoke else bench.sets:
        train, test = bench.rows(name, "train"), bench.rows(name, "test")
        result = bench.run(f"accuracy {name}", "bilstm", bench.ours(train))
        sides = [(bench.accuracy(test), result)]
        if not bench.alone:
            result = bench.run(f"accuracy {name}", "PyTorch", bench.twin(train, test, *twin, "--epochs", epochs[name]))
            sides.append((json.loads(result["stdout"]), result))
        cells = []
        for side, (score, run) in zip(["bilstm", "PyTorch"], sides):
            bench.raw.append({"name": f"accuracy {name}", "side": side, "accuracy": score["accuracy"], "macro_f1": score["macro_f1"]})
            print(f"  {name}: {side} {score['accuracy']:.4f}", flush=True)
            cells += [f"{score['accuracy']:.4f}", f"{score['macro_f1']:.4f}", f"{run['wall_seconds']:.0f} s",
                      f"{run['cpu_seconds']:.0f} s", f"{run['peak_bytes'] / 1e6:.0f} MB"]
        cells += ["not run"] * (10 - len(cells))
        bench.say(f"| {name} | " + " | ".join(cells) + " |")
    bench.say("")


def build():
    subprocess.run([ROOT / "trainers/bilstm/get-libtorch"], cwd=ROOT, check=True)
    subprocess.run(["cargo", "build", "--release", "-p", "bilstm"], cwd=ROOT, check=True)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/bilstm"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared/data",
                        help="folder with imdb/, ag_news/ and sms_spam/, each with train.csv and test.csv")
    parser.add_argument("--pairs", type=int, default=3, help="how often each measurement is repeated")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of both sides")
    parser.add_argument("--machine", help="label of the results' folder [default: the CPU model]")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", help="some sections")
    parser.add_argument("--sets", choices=SETS, nargs="+", default=SETS, help="data sets of the section accuracy")
    parser.add_argument("--alone", action="store_true", help="no PyTorch in the section accuracy, where IMDB takes it a quarter of an hour")
    parser.add_argument("--smoke", action="store_true", help="a minute, on data/movie.csv; the results are not kept")
    parser.add_argument("--bilstm", type=pathlib.Path, help="a binary to measure [default: build it]")
    args = parser.parse_args()
    if args.smoke:
        args.pairs = 1
    elif not (args.data / "imdb/train.csv").is_file():
        parser.error("no imdb/train.csv below --data\nhelp: data/README.md tells where to get it, or try --smoke")
    return args


def main():
    args, before = arguments(), load()
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as folder:
        bench = Bench(args, pathlib.Path(folder))
        for section in args.only or SECTIONS:
            print(f"==> {section}", flush=True)
            globals()[f"compare_{section}"](bench)
    date = datetime.date.today().isoformat()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()
    facts = {"cpu": cpu_model(), "cores": len(os.sched_getaffinity(0)), "threads": args.threads,
             "memory_bytes": memory_bytes(), "commit": commit, "load_before": before, "load_after": load()}
    title = [f"# bilstm against PyTorch, {date}", "",
             f"{facts['cpu']}, {facts['cores']} cores, {args.threads} threads; medians of {args.pairs}; load {before:.1f} "
             f"before, {facts['load_after']:.1f} after.", ""]
    summary = "\n".join(title + bench.lines)
    print("\n" + summary)
    if args.smoke:
        return
    label = re.sub(r"[^a-z0-9]+", "-", (args.machine or facts["cpu"]).lower()).strip("-")
    sections = "".join(f"-{part}" for part in [*(args.only or []), *(args.sets if args.sets != SETS else [])])
    target = ROOT / "bench/runs" / f"{date}-{label}-bilstm{sections}"
    target.mkdir(parents=True, exist_ok=True)
    (target / "raw.jsonl").write_text("".join(json.dumps(line) + "\n" for line in bench.raw))
    (target / "summary.md").write_text(summary)
    (target / "environment.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"written to {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
