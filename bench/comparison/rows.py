"""The data sets, and what is cut or made from them."""

import csv
import pathlib
import random
import sys

csv.field_size_limit(2**31 - 1)
SETS = ["imdb", "ag_news", "sms_spam"]
SAMPLE_TRAIN = 480


class Data:
    """Finds files, or makes them below `work`. With `sample`, the repository's sample stands for the first data set."""

    def __init__(self, folder, work, sample=None):
        self.folder, self.work, self.sample = folder, work, sample
        self.names = (
            ["movie"]
            if sample
            else [name for name in SETS if (folder / name / "train.csv").is_file()]
        )
        self.counts = {}
        work.mkdir(parents=True, exist_ok=True)

    @property
    def first(self):
        """The set on which growth, threads and lengths are measured."""
        return self.names[0]

    def whole(self, name, part):
        if not self.sample:
            return self.folder / name / f"{part}.csv"
        target = self.work / f"{name}-{part}.csv"
        if not target.exists():
            head, *rows = read(self.sample)
            write(target, head, rows[:SAMPLE_TRAIN] if part == "train" else rows[SAMPLE_TRAIN:])
        return target

    def file(self, name, part, rows=None, length=None):
        """All rows; or so many of them; or made ones: `synthetic`, `malformed`, or `long` (at least `length` words)."""
        if name == "synthetic":
            return self.synthetic(rows)
        if name == "malformed":
            return self.malformed()
        if name == "long":
            return self.long(rows, length)
        source = self.whole(name, part)
        if rows is None or rows >= self.count(name, part):
            return source
        target = self.work / f"{name}-{part}-{rows}.csv"
        if not target.exists():
            head, *all_rows = read(source)
            # At random, in their order: a file may be sorted by label, or change it with every row.
            chosen = sorted(random.Random(rows).sample(range(len(all_rows)), rows))
            write(target, head, [all_rows[number] for number in chosen])
        return target

    def count(self, name, part):
        if (name, part) not in self.counts:
            self.counts[name, part] = len(read(self.whole(name, part))) - 1
        return self.counts[name, part]

    def megabytes(self, name, part, rows=None, cap=None):
        """Of text, no row counted with more than `cap` bytes: what an estimate goes by."""
        known = name if name in self.names else self.first
        total = self.count(known, part)
        mean = self.whole(known, part).stat().st_size / total
        return (rows or total) * min(mean, cap or mean) / 1e6

    def labels(self, name, part, rows=None):
        head, *all_rows = read(self.file(name, part, rows))
        column = head.index("label")
        return [row[column] for row in all_rows]

    def synthetic(self, rows):
        """Rows drawn with replacement, their words shuffled: as long and as many words as real ones."""
        target = self.work / f"synthetic-{rows}.csv"
        if not target.exists():
            head, *source = read(self.whole(self.first, "train"))
            text, label = head.index("text"), head.index("label")
            source = [(row[text].split(), row[label]) for row in source]
            draw = random.Random(rows)
            chosen = (draw.choice(source) for _ in range(rows))
            write(
                target,
                ["text", "label"],
                ([" ".join(draw.sample(words, len(words))), name] for words, name in chosen),
            )
        return target

    def malformed(self):
        """Every twentieth row has a field too many."""
        target = self.work / "malformed.csv"
        if not target.exists():
            head, *rows = read(self.whole(self.first, "train"))
            write(
                target,
                head,
                (
                    [*row, "one field too many"] if number % 20 == 19 else row
                    for number, row in enumerate(rows)
                ),
            )
        return target

    def long(self, rows, length):
        """Rows of at least `length` words, so that none is padded: rows x length is the number of tokens."""
        target = self.work / f"long-{rows}-{length}.csv"
        head, *source = read(self.whole(self.first, "train"))
        text = head.index("text")
        source = [row for row in source if len(row[text].split()) >= length]
        if not source:
            sys.exit(
                f"error: no row of {length} words in `{self.first}`\nhelp: put a set with longer ones first, with --sets"
            )
        # From both ends in turn, for a file that is sorted by label.
        source = [row for pair in zip(source, reversed(source)) for row in pair]
        write(target, head, [source[number % len(source)] for number in range(rows)])
        return target


def read(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def write(path, head, rows):
    """Whole or not at all: a killed run must not leave half a file for the next."""
    part = pathlib.Path(f"{path}.part")
    with open(part, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
    part.rename(path)


def column(path, *names):
    """The first of these columns that a file of predictions has."""
    head, *rows = read(path)
    found = next(head.index(name) for name in names if name in head)
    return [row[found] for row in rows]
