"""Predicts with a model folder of the transformer trainer, without the trainer: by the code in the documentation.

    read_transformer.py MODEL_DIR rows.csv

Prints JSON: `labels`, and `logits` with one list per row.
"""

import csv
import json
import pathlib
import re
import sys

csv.field_size_limit(sys.maxsize)
DOCS = pathlib.Path(__file__).parents[2] / "docs/transformer-model.md"


def documented():
    """The names that the page's first Python block defines."""
    block = re.search(r"^```python\n(.*?)^```$", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    if block is None:
        raise SystemExit(f"error: expected a Python block in `{DOCS}`, found none\nhelp: see tests/judges/read_transformer.py")
    names = {}
    exec(compile(block[1], str(DOCS), "exec"), names)
    return names


def main():
    folder, rows = sys.argv[1:]
    with open(rows, encoding="utf-8-sig", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    labels, logits = documented()["logits"](folder, texts)
    print(json.dumps({"labels": labels, "logits": logits.tolist()}))


if __name__ == "__main__":
    main()
