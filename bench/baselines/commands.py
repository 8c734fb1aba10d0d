"""Shared code of the baselines: command line, reading rows, writing labels. Standard library only.

BASELINE train rows.csv MODEL [its flags]
BASELINE predict MODEL rows.csv predictions.csv
BASELINE one MODEL "a film I shall remember"
"""

import argparse
import csv
import pathlib
import sys

csv.field_size_limit(2**31 - 1)


def read(path):
    """Returns the texts and the labels of a CSV; a label is None if the file has none."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = [(row["text"], row.get("label")) for row in csv.DictReader(file)]
    return [text for text, _ in rows], [label for _, label in rows]


def write(path, labels):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["predicted"], *([label] for label in labels)]
        )


def numbered(labels):
    """Returns the sorted labels, and the index of each row's label."""
    names = sorted(set(labels))
    numbers = {name: number for number, name in enumerate(names)}
    return names, [numbers[label] for label in labels]


def scores(wanted, found):
    """Returns accuracy and macro-F1 as bench/comparison computes them."""
    sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
    from comparison.scores import accuracy, cells, macro_f1

    seen = cells(wanted, found)
    return {"accuracy": accuracy(seen), "macro_f1": macro_f1(seen)}


def torch_threads(args):
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)


def main(description, train, predict, one, flags=None, prepare=None, more=()):
    """Parses the command line and runs the action.

    `flags(actions)` adds a baseline's own flags to {name of the action: parser}. `prepare(args)`
    runs before any action. `more`: further actions.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    actions = parser.add_subparsers(required=True)
    for run, places in [
        (train, ["csv", "model"]),
        (predict, ["model", "csv", "predictions"]),
        (one, ["model", "text"]),
        *((action, []) for action in more),
    ]:
        action = actions.add_parser(run.__name__)
        action.set_defaults(run=run)
        for place in places:
            action.add_argument(place)
        action.add_argument("--threads", type=int, default=0, help="0: as the library likes it")
        action.add_argument("--seed", type=int, default=0)
        action.add_argument("--device", default="cpu")
    if flags:
        flags(actions.choices)
    args = parser.parse_args()
    if prepare:
        prepare(args)
    args.run(args)
