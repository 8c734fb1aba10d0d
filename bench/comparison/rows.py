"""The data sets, and samples and synthetic rows made from them."""

import csv
import pathlib
import random
import sys

csv.field_size_limit(2**31 - 1)
SETS = ["imdb", "ag_news", "sms_spam"]
SAMPLE_TRAIN = 480


class Data:
    """Finds the files of data sets and writes derived ones below `work`.

    `sample`: a CSV that replaces all data sets, for smoke tests. `names`: the data sets, if they
    are not the known ones.
    """

    def __init__(self, folder, work, sample=None, names=None):
        self.folder, self.work, self.sample = folder, work, sample
        self.names = (
            names
            if names
            else ["movie"]
            if sample
            else [name for name in SETS if (folder / name / "train.csv").is_file()]
        )
        self.counts = {}
        work.mkdir(parents=True, exist_ok=True)

    @property
    def first(self):
        """Name of the set on which growth, threads and lengths are measured."""
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
        """Returns the file of a data set with all rows or a sample of `rows` rows.

        `name` may be `synthetic`, `malformed`, or `long`: rows of at least `length` words.
        """
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
            # A random sample, because labels may be sorted or alternate.
            chosen = sorted(random.Random(rows).sample(range(len(all_rows)), rows))
            write(target, head, [all_rows[number] for number in chosen])
        return target

    def count(self, name, part):
        if (name, part) not in self.counts:
            self.counts[name, part] = len(read(self.whole(name, part))) - 1
        return self.counts[name, part]

    def megabytes(self, name, part, rows=None, cap=None):
        """Returns the MB of text, with at most `cap` bytes a row, for estimates of time."""
        known = name if name in self.names else self.first
        total = self.count(known, part)
        mean = self.whole(known, part).stat().st_size / total
        return (rows or total) * min(mean, cap or mean) / 1e6

    def labels(self, name, part, rows=None):
        head, *all_rows = read(self.file(name, part, rows))
        column = head.index("label")
        return [row[column] for row in all_rows]

    def synthetic(self, rows):
        """Draws rows with replacement and shuffles their words."""
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
        """Adds a field to every twentieth row."""
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
        """Writes rows of at least `length` words.

        None is padded, so an epoch has rows x length tokens.
        """
        target = self.work / f"long-{rows}-{length}.csv"
        head, *source = read(self.whole(self.first, "train"))
        text = head.index("text")
        source = [row for row in source if len(row[text].split()) >= length]
        if not source:
            sys.exit(
                f"error: no row of {length} words in `{self.first}`\n"
                "help: pass a data set with longer texts first in --sets"
            )
        # Alternately from both ends, because a file may be sorted by label.
        source = [row for pair in zip(source, reversed(source)) for row in pair]
        write(target, head, [source[number % len(source)] for number in range(rows)])
        return target


def read(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def write(path, head, rows):
    """Writes a CSV under a temporary name and renames it, so that no partial file is left."""
    part = pathlib.Path(f"{path}.part")
    with open(part, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
    part.rename(path)


def column(path, *names):
    """Returns the values of the first of these columns that the file has."""
    head, *rows = read(path)
    found = next(head.index(name) for name in names if name in head)
    return [row[found] for row in rows]
