#!/usr/bin/env python3
"""Checks the accuracies that `svm` should reach. No times.

    python3 bench/accuracy.py [--binaries target/release] [--data DIR] [--unsegmented DIR]

Prints a line per bar, and exits with 1 if one is missed. A bar without its data is left out.
"""

import argparse
import csv
import json
import pathlib
import sys
import tempfile

from comparison.rows import read
from measure import ROOT, fail, measured, venv

BASELINE = ROOT / "bench/baselines/sklearn_svm.py"
# The default options of `svm`, for scikit-learn.
LINEAR_SVC = "--classifier linear-svc --loss squared_hinge --max-ngrams 2 --min-df 2".split()


def svm(args, work, train, test, *flags):
    """Returns the accuracy on the test rows."""
    command = [args.binaries / "svm", "train", "--train", train, "--test", test, "--json"]
    found = measured([*command, "--model-dir", work / "model", "--no-report", *flags])
    return json.loads(found["stdout"])["test"]["accuracy"]


def linear_svc(work, train, test):
    """Returns the accuracy of scikit-learn's LinearSVC on the test rows."""
    command = [venv("bench/requirements.txt"), "-B", BASELINE]
    model, predictions = work / "model.joblib", work / "predictions.csv"
    measured([*command, "train", train, model, *LINEAR_SVC, "--stopwords", "none"])
    measured([*command, "predict", model, test, predictions])
    head, *rows = read(test)
    labels = [row[head.index("label")] for row in rows]
    with open(predictions, newline="") as file:
        predicted = [row["predicted"] for row in csv.DictReader(file)]
    return sum(map(str.__eq__, labels, predicted)) / len(labels)


def bars(args):
    """Returns (name, training rows, test rows, flags, least accuracy); None is LinearSVC's."""
    imdb, news = args.data / "imdb", args.data / "ag_news"
    yield "imdb, svm --tune", imdb / "train.csv", imdb / "test.csv", ["--tune"], 0.92
    yield "ag_news, svm", news / "train.csv", news / "test.csv", [], None
    for name in ("zh_long", "th"):
        rows = (args.unsegmented / f"{name}{end}.csv" for end in ("", "_test"))
        yield f"{name}, svm, no blanks between words", *rows, [], 0.95


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binaries", type=pathlib.Path, default=ROOT / "target/release")
    shared = ROOT.parent / "shared"
    parser.add_argument("--data", type=pathlib.Path, default=shared / "data")
    parser.add_argument("--unsegmented", type=pathlib.Path, default=shared / "cases/22-unsegmented")
    args = parser.parse_args()
    if not (args.binaries / "svm").is_file():
        fail(f"no `svm` in `{args.binaries}`", "build it: cargo build --release -p svm")
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        for name, train, test, flags, least in bars(args):
            if not (train.is_file() and test.is_file()):
                print(f"left out  {name}: no `{train}` and `{test}`", flush=True)
                continue
            found = svm(args, work, train, test, *flags)
            bar = linear_svc(work, train, test) if least is None else least
            missed += found < bar
            of = "LinearSVC's " if least is None else ""
            state = "missed" if found < bar else "reached"
            print(f"{state:9} {name}: {found:.4f}, at least {of}{bar:.4f}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
