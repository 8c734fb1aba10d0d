"""Predicts with a model folder of `bilstm`, using only the code in the documentation.

    read_bilstm.py MODEL_DIR rows.csv

Prints JSON: `labels`, and `logits` with one list per row.
"""

import csv
import json
import pathlib
import sys

import documented

csv.field_size_limit(sys.maxsize)
DOCS = pathlib.Path(__file__).parents[2] / "docs/reference/models/bilstm.md"


def main():
    folder, rows = sys.argv[1:]
    with open(rows, encoding="utf-8-sig", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    labels, logits = documented.names(DOCS)["logits"](folder, texts)
    print(json.dumps({"labels": labels, "logits": logits.tolist()}))


if __name__ == "__main__":
    main()
