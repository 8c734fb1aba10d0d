#!/usr/bin/env python3
"""Compares `bilstm --arch bag` with fastText (bigrams, dim 10, lr 0.5, 5 epochs), in the same run, one thread each.

    bench/compare_bag.py --data path/to/data --out bench/runs/DATE-MACHINE-bag [--pairs 5]

Each pair runs both, who is first alternates; `bilstm` has another seed in every pair. fastText learns from all rows, `bilstm`
from nine in ten: it keeps the others to validate on. Both read, train, judge the test rows and save.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
from measure import cpu_model, load, measured, median, size  # noqa: E402

SETS = ["imdb", "ag_news", "sms_spam"]
SIDES = ["bag", "fasttext"]


def venv():
    """The Python of a pinned venv, made by tests/venv.sh."""
    script = '. "$1/tests/venv.sh" && make_venv "$1/bench/fasttext-requirements.txt"'
    made = subprocess.run(["bash", "-ec", script, "bash", str(ROOT)], check=True, stdout=subprocess.PIPE, text=True)
    return made.stdout.strip()


def run(side, python, folder, seed):
    """One process, and what it says of the test rows."""
    train, test = folder / "train.csv", folder / "test.csv"
    with tempfile.TemporaryDirectory() as home:
        model = pathlib.Path(home, "model")
        if side == "fasttext":
            command = [python, ROOT / "bench/twins/fasttext_bigrams.py", train, test, model]
        else:
            command = [ROOT / "target/release/bilstm", "train", "--arch", "bag", "--train", train, "--test", test]
            command += ["--model-dir", model, "--seed", seed, "--threads", 1, "--no-report", "--json"]
        found = measured(command)
        said = json.loads(found.pop("stdout"))
        return found | {"accuracy": said["accuracy"], "training_cpu_seconds": said.get("training_cpu_seconds")} | {
            "model_bytes": size(model)
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--pairs", type=int, default=5)
    args = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "-p", "bilstm"], check=True, cwd=ROOT)
    python, runs, before = venv(), [], load()
    for name in SETS:
        for pair in range(args.pairs):
            for side in SIDES if pair % 2 == 0 else SIDES[::-1]:
                runs.append({"set": name, "side": side, "pair": pair} | run(side, python, args.data / name, pair))
                print(json.dumps(runs[-1]), flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "raw.jsonl").write_text("".join(json.dumps(run) + "\n" for run in runs))
    lines = [
        f"{cpu_model()}; medians of {args.pairs} runs in turn, one thread each; load {before:.1f} to {load():.1f}.",
        "",
        "| data | | accuracy (lowest to highest) | CPU | of it training | peak memory | model |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in SETS:
        for side in SIDES:
            of = [run for run in runs if (run["set"], run["side"]) == (name, side)]
            found = sorted(run["accuracy"] for run in of)
            training = f"{median(of, 'training_cpu_seconds'):.2f} s" if side == "fasttext" else ""
            lines.append(
                f"| {name} | {side} | {median(of, 'accuracy'):.4f} ({found[0]:.4f} to {found[-1]:.4f}) "
                f"| {median(of, 'cpu_seconds'):.2f} s | {training} | {median(of, 'peak_bytes') / 1e6:.0f} MB "
                f"| {median(of, 'model_bytes') / 1e6:.1f} MB |"
            )
    (args.out / "summary.md").write_text("# bilstm --arch bag and fastText\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
