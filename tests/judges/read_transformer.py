"""Predicts with a model folder of `transformer`, using only the code in the documentation.

    read_transformer.py MODEL_DIR rows.csv [FIRST SECOND]

Texts are in the column `text`, or are pairs of the columns FIRST and SECOND.
Prints JSON: `labels`, `logits` with one list per row, and `predictions` with `label` and `score` of
each row.
"""

import csv
import json
import pathlib
import sys

import documented

csv.field_size_limit(sys.maxsize)
DOCS = pathlib.Path(__file__).parents[2] / "docs/reference/models/transformer.md"


def main():
    folder, rows, *columns = sys.argv[1:]
    with open(rows, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    if columns:
        first, second = columns
        texts = [{"text": row[first], "text_pair": row[second]} for row in rows]
    else:
        texts = [row["text"] for row in rows]
    page = documented.names(DOCS)
    labels, logits = page["logits"](folder, texts)
    print(
        json.dumps(
            {
                "labels": labels,
                "logits": logits.tolist(),
                "predictions": page["predict"](folder, texts),
            }
        )
    )


if __name__ == "__main__":
    main()
