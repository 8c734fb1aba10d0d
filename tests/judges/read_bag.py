"""Predicts with a model folder of `bag`, using only the code in the documentation.

    read_bag.py MODEL_DIR rows.csv [--docs docs/reference/models/bag.md]

Prints JSON: `labels`, one per row, and `logits` with one list per row.
"""

import argparse
import csv
import json
import pathlib
import sys

import documented

csv.field_size_limit(sys.maxsize)

DOCS = pathlib.Path(__file__).parents[2] / "docs/reference/models/bag.md"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=pathlib.Path)
    parser.add_argument("csv")
    parser.add_argument("--docs", type=pathlib.Path, default=DOCS)
    args = parser.parse_args()
    with open(args.csv, encoding="utf-8-sig", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    labels, logits = documented.names(args.docs)["classify"](args.model_dir, texts)
    print(json.dumps({"labels": labels, "logits": logits.tolist()}))


if __name__ == "__main__":
    main()
