"""Labels of a model folder, by the Python code in the documentation of `svm`, `nb` or `bag`.

    documented_labels.py svm MODEL_DIR rows.csv

Prints JSON: `labels`, one per row, or a list of labels if rows may have several.
"""

import csv
import json
import pathlib
import sys

import documented

DOCS = pathlib.Path(__file__).parents[2] / "docs/reference/models"


def main():
    trainer, folder, rows = sys.argv[1:]
    with open(rows, encoding="utf-8-sig", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    labels, _ = documented.names(DOCS / f"{trainer}.md")["classify"](folder, texts)
    print(json.dumps({"labels": labels}))


if __name__ == "__main__":
    main()
