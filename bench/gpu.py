"""Shared code of gpu_bilstm.py and gpu_transformer.py: checks of trainers on an NVIDIA GPU."""

import argparse
import csv
import datetime
import json
import pathlib
import shutil
import subprocess
import tempfile
import threading

from comparison.script import every_nth
from measure import ROOT, cpu_model, measured, require_commit, run_folder


class Memory(threading.Thread):
    """Records the peak memory use of the GPU, in MiB."""

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
    """Returns a field of nvidia-smi for the first GPU."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(
            f"error: no GPU: {error}\nhelp: run it where `nvidia-smi` shows one"
        ) from None


class Bench:
    """One benchmark: its files and results."""

    def __init__(self, args, program, flags, folder):
        """`flags`: flags of every training run."""
        self.args, self.program, self.flags, self.folder, self.raw, self.failed = (
            args,
            program,
            flags,
            folder,
            [],
            [],
        )

    def train(self, name, rows, *flags):
        """A training run of ours; its metrics."""
        model = self.folder / name
        shutil.rmtree(model, ignore_errors=True)
        command = [
            self.program,
            "train",
            "--train",
            rows,
            "--model-dir",
            model,
            "--no-report",
            *self.flags,
            *flags,
        ]
        with Memory() as memory:
            process = measured(command)
        metrics = json.loads((model / "metrics.json").read_text())
        facts = {
            "name": name,
            "wall_seconds": process["wall_seconds"],
            "card_mib": memory.most,
            "device": ", ".join(devices(metrics)),
            "skipped_steps": metrics["details"]["skipped_steps"],
            "losses": [epoch["train_loss"] for epoch in metrics["history"]],
            "rows_per_second": [epoch["rows_per_second"] for epoch in metrics["history"]],
            "tokens_per_second": [epoch["tokens_per_second"] for epoch in metrics["history"]],
            "accuracy": metrics["accuracy"],
        }
        return self.note(facts)

    def predict(self, name, rows, device):
        """Probability of the predicted class of each row, by class."""
        predictions = self.folder / "predictions.csv"
        measured(
            [
                self.program,
                "predict",
                "--model-dir",
                self.folder / name,
                "--input",
                rows,
                "--output",
                predictions,
                "--device",
                device,
            ]
        )
        with open(predictions, encoding="utf-8", newline="") as file:
            return [(row["label"], float(row["probability"])) for row in csv.DictReader(file)]

    def note(self, facts):
        self.raw.append(facts)
        print(" ", json.dumps(facts), flush=True)
        return facts

    def target(self, what, good):
        if not good:
            self.failed.append(what)
        return f"- {'met' if good else 'MISSED'}: {what}"

    def part(self, name, count):
        """Some rows of a part of IMDB."""
        return every_nth(
            self.args.data / "imdb" / f"{name}.csv", self.folder / f"{name}-{count}.csv", count
        )


def devices(metrics):
    """A list, or one name where there is one device."""
    found = metrics["details"]["devices"]
    return [found] if isinstance(found, str) else found


def largest(pairs):
    return max(abs(a - b) for a, b in pairs)


def apart(wanted, found):
    """Returns the largest difference of the probabilities of one class.

    Where the predicted labels differ, the probabilities belong to different classes.
    """
    return largest(
        (a[1], b[1] if a[0] == b[0] else 1 - b[1]) for a, b in zip(wanted, found, strict=True)
    )


def check(bench, flags, limits, learnt):
    """Compares training on GPU and CPU, with the same batches of data/movie.csv and no dropout.

    `limits`: by precision, the largest allowed difference of any epoch's loss and of any row's
    probability. `learnt`: the loss that training must reach, so that wrong gradients are noticed.
    Returns lines.
    """
    rows = ROOT / "data/movie.csv"
    without = [*flags, "--dropout", 0]
    cpu = bench.train("cpu", rows, *without, "--device", "cpu")
    wanted = bench.predict("cpu", rows, "cpu")
    lines = [f"## GPU against CPU, data/movie.csv, {len(cpu['losses'])} epochs", ""]
    for precision, (loss, probability) in limits.items():
        found = bench.train(precision, rows, *without, "--device", "cuda", "--precision", precision)
        lines.append(
            bench.target(
                f"--device cuda is a GPU: {found['device']}", found["device"].startswith("cuda")
            )
        )
        off = largest(zip(cpu["losses"], found["losses"], strict=True))
        lines.append(
            bench.target(
                f"--precision {precision}, {found['device']}: "
                f"loss off by {off:.2g} (at most {loss})",
                off <= loss,
            )
        )
        last = found["losses"][-1]
        lines.append(
            bench.target(
                f"its loss falls to {last:.2g} (at most {learnt}; 0.69 is chance)", last <= learnt
            )
        )
        off = apart(wanted, bench.predict(precision, rows, "cpu"))
        lines.append(
            bench.target(
                f"its model: probability off by {off:.2g} (at most {probability})",
                off <= probability,
            )
        )
    off = apart(wanted, bench.predict("cpu", rows, "cuda"))
    lines.append(
        bench.target(
            f"one model predicting on both devices: off by {off:.2g} (at most 0.05)", off <= 0.05
        )
    )
    dropout = [*flags, "--dropout", 0.1, "--device", "cuda", "--precision", "full"]
    first, again = (bench.train(name, rows, *dropout) for name in ("dropout", "dropout-again"))
    off = largest(zip(first["losses"], again["losses"], strict=True))
    lines.append(
        bench.target(f"two runs with dropout: loss off by {off:.2g} (at most 1e-3)", off <= 1e-3)
    )
    return [*lines, ""]


def parser(text, sections):
    """Returns a parser with the options of both scripts."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument(
        "--data",
        type=pathlib.Path,
        default=ROOT.parent / "shared/data",
        help="folder with imdb/train.csv and imdb/test.csv",
    )
    parser.add_argument("--only", choices=list(sections), nargs="+", default=list(sections))
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="results' folder [default: bench/runs/<date>-<card>-<trainer>]",
    )
    return parser


def needs(parser, args, files):
    """Exits with an error if a file is missing. `files`: pairs of a file and how to get it."""
    for path, help_ in files:
        if not path.is_file():
            parser.error(f"no `{path}`\nhelp: {help_}")
    if set(args.only) - {"check"} and not (args.data / "imdb/train.csv").is_file():
        parser.error(
            "no imdb/train.csv below --data\n"
            "help: get it as data/README.md describes, or try --only check"
        )


def run(args, trainer, program, sections, flags=()):
    """Runs the chosen sections. Exits with 1 if a target is missed."""
    card, date = smi("name"), datetime.date.today().isoformat()
    out = args.out or run_folder(card, trainer)
    require_commit(out)
    lines = [
        f"# {trainer} on a GPU, {date}",
        "",
        f"{card}, driver {smi('driver_version')}; {cpu_model()}.",
        "",
    ]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="trainyard-gpu-") as folder:
        bench = Bench(args, program.resolve(), flags, pathlib.Path(folder))
        for section in args.only:
            print(f"==> {section}", flush=True)
            lines += sections[section](bench)
            # After each section, because a borrowed machine may be gone before the last one.
            (out / "summary.md").write_text("\n".join(lines))
            (out / "raw.jsonl").write_text("".join(json.dumps(line) + "\n" for line in bench.raw))
    print("\n" + "\n".join(lines))
    if bench.failed:
        raise SystemExit(
            f"error: {len(bench.failed)} targets missed: {'; '.join(bench.failed)}\n"
            f"help: {out}/raw.jsonl has the numbers"
        )
