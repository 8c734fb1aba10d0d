#!/usr/bin/env python3
"""Draws the small sample `movie.csv` from a full IMDB CSV, the same rows every time.

python3 data/make_sample.py path/to/imdb/train.csv data/movie.csv
"""

import argparse
import csv
import hashlib

SEED = "trainyard-movie-1"


def rank(text):
    """Returns a key for a pseudo-random order that is the same in every version of Python."""
    return hashlib.sha256(f"{SEED}\n{text}".encode()).digest()


def sample(rows, per_class, shortest, longest):
    """Draws `per_class` texts of each label within the length limits, labels alternating."""
    by_label = {}
    for text, label in rows:
        if shortest <= len(text) <= longest:
            by_label.setdefault(label, set()).add(text)
    # Texts with two labels would be noise in a small sample.
    contradictory = set.intersection(*by_label.values()) if len(by_label) > 1 else set()
    drawn = []
    for label, texts in sorted(by_label.items()):
        chosen = sorted(texts - contradictory, key=rank)[:per_class]
        if len(chosen) < per_class:
            raise SystemExit(f"label `{label}` has {len(chosen)} fitting texts, {per_class} wanted")
        drawn.append([(text, label) for text in chosen])
    return [row for group in zip(*drawn) for row in group]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="CSV with the columns text and label")
    parser.add_argument("target")
    parser.add_argument("--per-class", type=int, default=300)
    parser.add_argument("--shortest", type=int, default=200, help="characters")
    parser.add_argument("--longest", type=int, default=1200, help="characters")
    args = parser.parse_args()
    with open(args.source, encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    with open(args.target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label"])
        writer.writerows(sample(rows, args.per_class, args.shortest, args.longest))


if __name__ == "__main__":
    main()
