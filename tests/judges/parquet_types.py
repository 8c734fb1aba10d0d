"""Writes files with a label column of each type, and prints the labels as Python does.

    parquet_types.py FOLDER

Each table is a parquet file, an Arrow file and an Arrow stream. Prints a JSON object: file name to
the labels of its rows, null for a missing one.
"""

import datetime
import decimal
import json
import pathlib
import sys
import uuid

import numpy
import pyarrow
from pyarrow import ipc, parquet

folder = pathlib.Path(sys.argv[1])
expected = {}


def write(name, values, kind, texts=None, metadata=None, **options):
    labels = pyarrow.array(values, kind)
    table = pyarrow.table({"text": [f"text {row}" for row in range(len(values))], "label": labels})
    if metadata:
        table = table.replace_schema_metadata(metadata)
    parquet.write_table(table, folder / f"{name}.parquet", **options)
    files = [f"{name}.parquet", f"{name}.arrow", f"{name}_stream.arrow"]
    for file, new in zip(files[1:], [ipc.new_file, ipc.new_stream], strict=True):
        with new(folder / file, table.schema) as writer:
            writer.write_table(table)
    labels = [None if value is None else str(value) for value in values]
    expected.update(dict.fromkeys(files, texts or labels))


for kind, bits in [("int8", 7), ("int32", 31), ("int64", 63)]:
    write(kind, [0, -(2**bits), 2**bits - 1, None], kind)
for bits in [8, 16, 32, 64]:
    write(f"uint{bits}", [0, 2 ** (bits - 1) + 5, 2**bits - 1], f"uint{bits}")
numbers = [decimal.Decimal(text) for text in ["4.50", "-0.05", "0.00", "-12345.67"]]
for precision in [9, 18, 38]:
    write(f"decimal{precision}", numbers, pyarrow.decimal128(precision, 2))
for precision in [7, 18]:
    name = f"decimal_int{precision}"
    write(name, numbers, pyarrow.decimal128(precision, 2), store_decimal_as_integer=True)
write("decimal76", numbers, pyarrow.decimal256(60, 2))
write("whole", [decimal.Decimal(7), decimal.Decimal(-7)], pyarrow.decimal128(5, 0))
days = [datetime.date(2024, 2, 29), datetime.date(1969, 12, 31), datetime.date(1, 1, 1)]
write("date32", days, pyarrow.date32())
write("date64", days, pyarrow.date64())
times = [datetime.time(0, 0), datetime.time(23, 59, 59, 120_000), datetime.time(1, 2, 3)]
for unit, kind in [("ms", pyarrow.time32), ("us", pyarrow.time64), ("ns", pyarrow.time64)]:
    write(f"time_{unit}", times, kind(unit), [time.isoformat() for time in times])
stamps = [
    datetime.datetime(2024, 1, 2, 3, 4, 5),
    datetime.datetime(1969, 12, 31, 23, 0, 0, 250_000),
]
for unit in ["s", "ms", "us", "ns"]:
    values = [stamp.replace(microsecond=0) if unit == "s" else stamp for stamp in stamps]
    kind = pyarrow.timestamp(unit)
    texts = [stamp.isoformat() for stamp in values]
    write(f"timestamp_{unit}", values, kind, texts)
    zoned = [stamp.replace(tzinfo=datetime.UTC) for stamp in values]
    texts = [stamp.isoformat() for stamp in zoned]
    write(f"utc_{unit}", zoned, pyarrow.timestamp(unit, "UTC"), texts)
write(
    "int96",
    stamps,
    pyarrow.timestamp("ns"),
    [stamp.isoformat() for stamp in stamps],
    use_deprecated_int96_timestamps=True,
)
floats = [0.0, -0.0, 1.0, 4.5, 0.1, 1e15, 1e16, 1e22, 1e-4, 1e-5, 1.5e-7, 1 / 3, float("inf")]
write("double", [*floats, float("nan"), None], "float64", [*map(repr, floats), None, None])
# For these two, numpy writes exponents where Python writes digits.
singles = [numpy.float32(value) for value in floats if value not in (1e15, 1e-4)]
write("float", singles, "float32", [str(value) for value in singles])
halves = [0, -0.0, 1, 4.5, 0.1, -1 / 3, 1e-3, 2048, 65504, 6e-8, 1e-4, 2**-14, 1234.5, float("inf")]
halves = [numpy.float16(value) for value in halves]
# numpy's digits; it writes exponents from 1000 on.
write("half", halves, "float16", [repr(float(str(value))) for value in halves])
write("bool", [True, False, None], "bool", ["true", "false", None])
ids = [uuid.UUID(int=5), uuid.UUID("12345678-1234-5678-1234-567812345678")]
write("uuid", [value.bytes for value in ids], pyarrow.uuid(), [str(value) for value in ids])
write("dictionary", ["a", "b", None], pyarrow.dictionary(pyarrow.int32(), pyarrow.string()))
write("view", ["a", "b"], pyarrow.string_view())
features = {
    "text": {"dtype": "string", "_type": "Value"},
    "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
}
write(
    "class_label",
    [1, 0, -1, None],
    "int64",
    ["pos", "neg", None, None],
    {"huggingface": json.dumps({"info": {"features": features}})},
)
for codec in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]:
    write(codec, ["a", "b"], "string", compression=codec)
write("pages", ["a", "b", None], "string", data_page_version="2.0")
write("list", [["a", "b"], ["c"]], pyarrow.list_(pyarrow.string()))
for file in ["list.parquet", "list.arrow", "list_stream.arrow"]:
    del expected[file]
print(json.dumps(expected))
