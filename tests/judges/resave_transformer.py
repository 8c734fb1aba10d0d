"""Saves a model folder again with transformers.

    resave_transformer.py FOLDER TARGET KIND

KIND is `float32`, `float16` (model in this type, and tokenizer) or `tokenizer` (the tokenizer
alone). Prints JSON: `files`, the names in TARGET.
"""

import json
import pathlib
import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def main():
    folder, target, kind = sys.argv[1:]
    if kind != "tokenizer":
        dtype = getattr(torch, kind)
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype)
        model.save_pretrained(target)
    AutoTokenizer.from_pretrained(folder).save_pretrained(target)
    print(json.dumps({"files": sorted(path.name for path in pathlib.Path(target).iterdir())}))


if __name__ == "__main__":
    main()
