"""Writes the same 60 labelled rows in every format that trainers read, and as a zip archive.

    data_files.py FOLDER

Prints a JSON object: file name to its number of rows.
"""

import csv
import gzip
import io
import json
import pathlib
import random
import sys
import zipfile

import pyarrow
from pyarrow import feather, ipc, parquet

ROWS = 60
WORDS = "good bad film plot cast scene music ending awful superb ünïcödé 映画".split()

folder = pathlib.Path(sys.argv[1])


def text(row, quoted):
    words = random.Random(row).choices(WORDS, k=12)
    return ', "so"\nsaid '.join(words[:4]) + " ".join(words[4:]) if quoted else " ".join(words)


def delimited(delimiter, quoted):
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["text", "label"])
    writer.writerows([text(row, quoted), ["neg", "pos"][row % 2]] for row in range(ROWS))
    return file.getvalue()


rows = [{"text": text(row, True), "label": ["neg", "pos"][row % 2]} for row in range(ROWS)]
lines = "".join(json.dumps(row) + "\n" for row in rows)
quoted = delimited(",", True)
files = {
    "plain.csv": delimited(",", False).encode(),
    "quoted.csv": quoted.encode(),
    "plain.tsv": delimited("\t", False).encode(),
    "utf16.csv": quoted.encode("utf-16"),
    "rows.jsonl": lines.encode(),
    "quoted.csv.gz": gzip.compress(quoted.encode(), mtime=0),
    "rows.jsonl.gz": gzip.compress(lines.encode(), mtime=0),
    "quoted.csv.zst": pyarrow.compress(quoted.encode(), codec="zstd", asbytes=True),
}
for compression in ["none", "snappy", "gzip", "zstd"]:
    file = io.BytesIO()
    table = pyarrow.Table.from_pylist(rows)
    parquet.write_table(table, file, compression=compression, row_group_size=25)
    files[f"{compression}.parquet"] = file.getvalue()
for name, new in [("file.arrow", ipc.new_file), ("stream.arrow", ipc.new_stream)]:
    file = io.BytesIO()
    with new(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=25)
    files[name] = file.getvalue()
file = io.BytesIO()
feather.write_feather(table, file, compression="lz4", chunksize=25)
files["lz4.feather"] = file.getvalue()
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
    zipped.writestr("quoted.csv", quoted)
files["rows.zip"] = archive.getvalue()

for name, content in files.items():
    (folder / name).write_bytes(content)
print(json.dumps(dict.fromkeys(files, ROWS)))
