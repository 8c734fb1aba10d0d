#!/usr/bin/env python3
"""Checks `transformer` on an NVIDIA GPU against a CPU, and measures it beside transformers' Trainer. See bench/README.md."""

import argparse
import csv
import datetime
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
from measure import cpu_model, measured  # noqa: E402

TWIN = ROOT / "bench/twins/transformers_finetune.py"
SECTIONS = ["check", "speed", "accuracy"]
# Dense products in bf16 with sums in f32, TFLOP/s, from NVIDIA's data sheets; f16 for a V100.
PEAKS = {"V100": 125, "A10G": 70, "L4": 121, "A100": 312, "H100": 989, "H200": 989}
# How far a GPU may be from the CPU: loss of any epoch, and probability of any row. The weights move far (the loss falls from 0.69 to
# 0.12), so that wrong gradients show; rounding grows on the way.
BARS = {"full": (1e-2, 5e-2), "mixed": (5e-2, 0.25)}


class Memory(threading.Thread):
    """The most memory of the card that was taken while it ran, in MiB."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most, self.over = 0, threading.Event()

    def run(self):
        while not self.over.wait(0.2):
            self.most = max(self.most, int(smi("memory.used")))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def smi(field):
    """What nvidia-smi says of the first GPU."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"error: no GPU: {error}\nhelp: run it where `nvidia-smi` shows one") from None


class Bench:
    """Where things are, and what has been measured so far."""

    def __init__(self, args, folder):
        self.args, self.folder, self.raw, self.failed = args, folder, [], []

    def train(self, name, rows, *flags):
        """A training run of ours; its metrics."""
        model = self.folder / name
        shutil.rmtree(model, ignore_errors=True)
        command = [self.args.transformer.resolve(), "train", "--train", rows, "--model-dir", model, "--pretrained-model",
                   self.args.pretrained_model, "--no-report", *flags]
        with Memory() as memory:
            process = measured(command)
        metrics = json.loads((model / "metrics.json").read_text())
        facts = {"name": name, "wall_seconds": process["wall_seconds"], "card_mib": memory.most,
                 "device": metrics["details"]["devices"], "skipped_steps": metrics["details"]["skipped_steps"],
                 "losses": [epoch["train_loss"] for epoch in metrics["history"]],
                 "rows_per_second": [epoch["rows_per_second"] for epoch in metrics["history"]],
                 "tokens_per_second": [epoch["tokens_per_second"] for epoch in metrics["history"]],
                 "accuracy": metrics["accuracy"]}
        return self.note(facts)

    def twin(self, name, rows, *flags):
        command = [self.args.python, "-B", TWIN, "train", rows, self.folder / name, "--pretrained-model", self.args.pretrained_model,
                   "--device", "cuda", *flags]
        with Memory() as memory:
            process = measured(command)
        found = json.loads(process["stdout"].strip().splitlines()[-1])
        return self.note({"name": name, "wall_seconds": process["wall_seconds"], "card_mib": memory.most, **found})

    def predict(self, name, rows, device):
        """Probability of the predicted class of each row, by class."""
        answers = self.folder / "answers.csv"
        measured([self.args.transformer.resolve(), "predict", "--model-dir", self.folder / name, "--input", rows, "--output", answers,
                  "--device", device])
        with open(answers, encoding="utf-8", newline="") as file:
            return [(row["label"], float(row["probability"])) for row in csv.DictReader(file)]

    def note(self, facts):
        self.raw.append(facts)
        print(" ", json.dumps(facts), flush=True)
        return facts

    def bar(self, what, good):
        if not good:
            self.failed.append(what)
        return f"- {'met' if good else 'NOT MET'}: {what}"

    def part(self, name, count):
        """Some rows of a part of IMDB; every n-th, for a file may be sorted by label."""
        with open(self.args.data / "imdb" / f"{name}.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        step = max((len(rows) - 1) // count, 1)
        target = self.folder / f"{name}-{count}.csv"
        with open(target, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([rows[0], *rows[1::step][:count]])
        return target


def largest(pairs):
    return max(abs(a - b) for a, b in pairs)


def apart(wanted, found):
    """The largest difference of probabilities; where two labels differ, they are those of different classes."""
    return largest((a[1], b[1] if a[0] == b[0] else 1 - b[1]) for a, b in zip(wanted, found, strict=True))


def check(bench):
    """Three epochs on the sample, without dropout: the same batches, whatever computes."""
    rows = ROOT / "data/movie.csv"
    flags = ["--epochs", 3, "--patience", 0, "--max-len", 128, "--learning-rate", 1e-4, "--seed", 1]
    without = [*flags, "--dropout", 0]
    cpu = bench.train("cpu", rows, *without, "--device", "cpu")
    wanted = bench.predict("cpu", rows, "cpu")
    lines = ["## GPU against CPU, data/movie.csv, three epochs", ""]
    for precision, (loss, probability) in BARS.items():
        found = bench.train(precision, rows, *without, "--device", "cuda", "--precision", precision)
        lines.append(bench.bar(f"--device cuda is a GPU: {found['device']}", found["device"].startswith("cuda")))
        off = largest(zip(cpu["losses"], found["losses"], strict=True))
        lines.append(bench.bar(f"--precision {precision}, {found['device']}: loss off by {off:.2g} (at most {loss})", off <= loss))
        last = found["losses"][-1]
        lines.append(bench.bar(f"its loss falls to {last:.2g} (at most 0.3; 0.69 is chance)", last <= 0.3))
        off = apart(wanted, bench.predict(precision, rows, "cpu"))
        lines.append(bench.bar(f"its model: a probability off by {off:.2g} (at most {probability})", off <= probability))
    off = apart(wanted, bench.predict("cpu", rows, "cuda"))
    lines.append(bench.bar(f"one model predicting on both: off by {off:.2g} (at most 0.05)", off <= 0.05))
    dropout = [*flags, "--dropout", 0.1, "--device", "cuda", "--precision", "full"]
    first, again = (bench.train(name, rows, *dropout) for name in ("dropout", "dropout-again"))
    off = largest(zip(first["losses"], again["losses"], strict=True))
    lines.append(bench.bar(f"with dropout a run repeats: loss off by {off:.2g} (at most 1e-3)", off <= 1e-3))
    return [*lines, ""]


def flops_per_token(config, tokens):
    """Of a training step: twice the multiplications of forward and backward pass (Kaplan et al. 2020), texts of so many tokens."""
    hidden, layers, wide = (config[key] for key in ("hidden_size", "num_hidden_layers", "intermediate_size"))
    return 6 * layers * (4 * hidden**2 + 2 * hidden * wide) + 12 * layers * hidden * tokens


def speed(bench):
    args = bench.args
    rows = bench.part("train", args.rows)
    flags = ["--epochs", 1, "--batch-size", args.batch_size, "--max-len", 256]
    ours = bench.train("speed", rows, *flags, "--device", "cuda", "--validation-split", 0)
    theirs = bench.twin("twin", rows, *flags, "--group-by-length")
    mine, twin = ours["rows_per_second"][0], args.rows / theirs["train_seconds"]
    gpu = smi("name")
    peak = args.peak or next((peak for name, peak in PEAKS.items() if name in gpu), None)
    tokens = ours["tokens_per_second"][0]
    config = json.loads((args.pretrained_model / "config.json").read_text())
    work = tokens * flops_per_token(config, tokens / mine) / 1e12
    share = f", {work / peak:.1%} of the card's {peak}" if peak else ""
    return [f"## Training, {args.rows:,} rows of IMDB, 256 tokens, batch {args.batch_size}, half precision", "",
            "| | transformer | transformers | ratio |", "|---|---|---|---|",
            f"| rows per second | {mine:.0f} | {twin:.0f} | {mine / twin:.2f} |",
            f"| process, wall | {ours['wall_seconds']:.1f} s | {theirs['wall_seconds']:.1f} s | "
            f"{ours['wall_seconds'] / theirs['wall_seconds']:.2f} |",
            f"| memory of the card | {ours['card_mib']} MiB | {theirs['card_mib']} MiB | |", "",
            f"{tokens:.0f} tokens a second are {work:.1f} TFLOP/s{share}.", "",
            bench.bar("rows per second at least those of transformers' Trainer with bf16", mine >= twin), ""]


def accuracy(bench):
    """At 0.92 of bench/runs/2026-11-26-nvidia-h200-transformer, by its flags."""
    found = bench.train("imdb", bench.args.data / "imdb/train.csv", "--test", bench.args.data / "imdb/test.csv", "--device", "cuda",
                        "--epochs", bench.args.epochs, "--max-len", 384, "--learning-rate", 1e-4, "--batch-size", bench.args.batch_size)
    return ["## All of IMDB", "",
            bench.bar(f"accuracy on imdb/test.csv {found['accuracy']:.4f} (at least 0.92), {found['wall_seconds']:.0f} s",
                      found["accuracy"] >= 0.92), ""]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transformer", type=pathlib.Path, default=ROOT / "target/release/transformer", help="built with --features cuda")
    parser.add_argument("--python", default=sys.executable, help="one with transformers, accelerate and a PyTorch that sees the GPU")
    parser.add_argument("--pretrained-model", type=pathlib.Path, default=ROOT / "models/minilm", help="folder of get-minilm")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared/data", help="folder with imdb/train.csv and imdb/test.csv")
    parser.add_argument("--rows", type=int, default=20_000, help="of the speed section")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2, help="of the accuracy section")
    parser.add_argument("--peak", type=float, help="TFLOP/s of the card in half precision [default: by its name]")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=SECTIONS)
    parser.add_argument("--out", type=pathlib.Path, help="folder for the results [default: bench/runs/<date>-<card>-transformer]")
    args = parser.parse_args()
    for path, help_ in [(args.transformer, "docs/cuda.md tells how to build it"),
                        (args.pretrained_model / "config.json", "trainers/transformer/get-minilm models/minilm")]:
        if not path.is_file():
            parser.error(f"no `{path}`\nhelp: {help_}")
    if set(args.only) - {"check"} and not (args.data / "imdb/train.csv").is_file():
        parser.error("no imdb/train.csv below --data\nhelp: data/README.md tells where to get it, or try --only check")
    return args


def main():
    args = arguments()
    card, date = smi("name"), datetime.date.today().isoformat()
    label = re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")
    out = args.out or ROOT / "bench/runs" / f"{date}-{label}-transformer"
    lines = [f"# transformer on a GPU, {date}", "", f"{card}, driver {smi('driver_version')}; {cpu_model()}.", ""]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="trainyard-gpu-") as folder:
        bench = Bench(args, pathlib.Path(folder))
        for section in args.only:
            print(f"==> {section}", flush=True)
            lines += globals()[section](bench)
            # After each: a machine that is lent may be gone before the last.
            (out / "summary.md").write_text("\n".join(lines))
            (out / "raw.jsonl").write_text("".join(json.dumps(line) + "\n" for line in bench.raw))
    print("\n" + "\n".join(lines))
    if bench.failed:
        raise SystemExit(f"error: {len(bench.failed)} bars not met: {'; '.join(bench.failed)}\nhelp: {out}/raw.jsonl has the numbers")


if __name__ == "__main__":
    main()
