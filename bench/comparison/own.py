"""A data set of the user's own rows: NAME/train.csv and NAME/test.csv with `text` and `label`."""

import csv
import dataclasses
import gzip
import hashlib
import json
import pathlib
import random
import re

from comparison.rows import SETS, write
from measure import fail

TEST_SHARE = 0.2
DELIMITERS = ",;\t|"
# Names of other data sets and of derived ones.
TAKEN = {*SETS, "synthetic", "malformed", "long"}
CONVERT = "pass a .csv, .tsv or .jsonl file in UTF-8, also with .gz"


@dataclasses.dataclass
class Own:
    name: str
    folder: pathlib.Path
    digest: str  # of the rows: results of other rows are not mixed with these
    note: str  # how the rows were chosen


def prepare(folder, train, test=None, text="text", label="label"):
    """Writes the data set below `folder`. Without `test`, a fifth of the texts is the test set."""
    rows = rows_of(train, text, label)
    if test:
        parts, origin = (rows, rows_of(test, text, label)), f"the rows of {test.name}"
    else:
        parts, origin = split(rows), "a fifth of the texts, at random"
    rows, tests = ([row for row in part if is_whole(row)] for part in parts)
    dropped = sum(map(len, parts)) - len(rows) - len(tests)
    labels = {row[1].strip() for row in rows}
    known = [row for row in tests if row[1].strip() in labels]
    if len(labels) < 2 or not known:
        fail(
            f"`{train.name}` has {len(labels)} labels in {len(rows)} rows, and {len(known)} test "
            "rows have one of them; expected at least 2 labels and 1 test row",
            "pass more rows, or the column with the labels as --label-column",
        )
    left_out = [
        f"{count:,} {what}"
        for count, what in [
            (dropped, "rows without text or label"),
            (len(tests) - len(known), "test rows whose label no training row has"),
        ]
        if count
    ]
    name = name_of(train)
    (folder / name).mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    for part, chosen in (("train", rows), ("test", known)):
        path = folder / name / f"{part}.csv"
        # pandas would read labels such as 007 and true as numbers and booleans.
        write(
            path, ["text", "label"], ([words, f"label {named.strip()}"] for words, named in chosen)
        )
        digest.update(path.read_bytes())
    note = f"Data: {train.name}; test rows: {origin}."
    note += f" Left out: {', '.join(left_out)}." if left_out else ""
    return Own(name, folder, digest.hexdigest()[:12], note)


def name_of(path):
    """Returns a name for tables and folders."""
    stem = path.name.partition(".")[0].lower()
    name = re.sub(r"[^a-z0-9]+", "_", stem).strip("_") or "rows"
    return f"own_{name}" if name in TAKEN else name


def rows_of(path, text, label):
    """Returns the pairs of text and label of a file; empty strings if a row has none."""
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if kind not in (".csv", ".tsv", ".jsonl"):
        fail(f"cannot read `{path}`: the format `{kind}` is not known", CONVERT)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(
            path, "rt", encoding="utf-8-sig", newline=""
        ) as file:
            return json_rows(file, text, label) if kind == ".jsonl" else csv_rows(file, text, label)
    except (OSError, ValueError, csv.Error) as error:
        fail(f"cannot read `{path}`: {error}", CONVERT)


def csv_rows(file, text, label):
    head = file.readline()
    found = next(
        (
            (delimiter, names)
            for delimiter in DELIMITERS
            for names in csv.reader([head], delimiter=delimiter)
            if text in names and label in names
        ),
        None,
    )
    if not found:
        fail(
            f"no columns `{text}` and `{label}` in the header `{head.strip()[:200]}`",
            "pass --text-column and --label-column",
        )
    delimiter, names = found
    at = names.index(text), names.index(label)
    return [
        tuple(row[column] if column < len(row) else "" for column in at)
        for row in csv.reader(file, delimiter=delimiter)
        if row
    ]


def json_rows(file, text, label):
    rows = []
    for line in filter(str.strip, file):
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError(f"expected one object in each line, found `{line.strip()[:80]}`")
        values = (row.get(name) for name in (text, label))
        rows.append(tuple("" if value is None else str(value) for value in values))
    if not any(map(is_whole, rows)):
        fail(f"no row has the keys `{text}` and `{label}`", "pass --text-column and --label-column")
    return rows


def is_whole(row):
    return all(map(str.strip, row))


def split(rows):
    """Returns training and test rows. Rows with equal texts are on the same side."""
    texts = sorted({text for text, _ in rows})
    random.Random(0).shuffle(texts)
    held_out = set(texts[: round(TEST_SHARE * len(texts))])
    return (
        [row for row in rows if row[0] not in held_out],
        [row for row in rows if row[0] in held_out],
    )
