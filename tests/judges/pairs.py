"""Tokenizes pairs of texts with transformers, as a trained folder sets it up.

    pairs.py MODEL_DIR pairs.json

Prints JSON: `rows`, with `input_ids` and `token_type_ids` of each pair (null if it has none).
"""

import json
import pathlib
import sys

from transformers import AutoTokenizer


def main():
    folder, pairs = map(pathlib.Path, sys.argv[1:])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    firsts, seconds = zip(*json.loads(pairs.read_text(encoding="utf-8")), strict=True)
    # In a batch: a single call takes an empty second text for none.
    batch = tokenizer(list(firsts), list(seconds), truncation=True)
    ids = batch["input_ids"]
    types = batch.get("token_type_ids", [None] * len(ids))
    rows = zip(ids, types, strict=True)
    print(json.dumps({"rows": [{"input_ids": i, "token_type_ids": t} for i, t in rows]}))


if __name__ == "__main__":
    main()
