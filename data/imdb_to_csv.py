#!/usr/bin/env python3
"""Turns a folder of the original Large Movie Review Dataset into a CSV.

The original holds one review per file: `train/pos/0_9.txt`, `train/neg/0_3.txt`, and the same
below `test`. Label 1 is positive, 0 negative; `train/unsup` has no labels and is skipped.

    python3 data/imdb_to_csv.py aclImdb/train imdb-train.csv
    python3 data/imdb_to_csv.py aclImdb/test  imdb-test.csv
"""

import argparse
import csv
import pathlib

LABELS = {"neg": "0", "pos": "1"}


def review_number(path):
    """Returns 10 for `10_4.txt`, to sort numerically."""
    return int(path.stem.split("_")[0])


def reviews(folder):
    for name, label in LABELS.items():
        files = list((folder / name).glob("*_*.txt"))
        if not files:
            raise SystemExit(
                f"no reviews in `{folder / name}`, expected files such as `0_9.txt`\n"
                "help: give the folder `train` or `test` of the unpacked aclImdb_v1.tar.gz"
            )
        for path in sorted(files, key=review_number):
            yield path.read_text(encoding="utf-8"), label


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="`aclImdb/train` or `aclImdb/test`")
    parser.add_argument("target", help="the CSV to write")
    args = parser.parse_args()
    rows = list(reviews(args.folder))
    with open(args.target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label"])
        writer.writerows(rows)
    print(f"{len(rows)} reviews")


if __name__ == "__main__":
    main()
