"""Predicts with a model folder of `svm`, using only the code in the documentation.

    read_model.py MODEL_DIR rows.csv [--docs docs/reference/models/svm.md]

Prints JSON: `labels`, `predicted` (one label per row), `decision` (one number per row and output)
and, if the model is calibrated, `probability` (one per row and class).
"""

import argparse
import json
import pathlib

import documented
import numpy as np
import reading
from safetensors.numpy import load_file

DOCS = pathlib.Path(__file__).parents[2] / "docs/reference/models/svm.md"


def probabilities(platt, decisions):
    """Applies Platt's sigmoid to each output; several outputs are normalised to the sum 1."""
    a, b = platt.T
    each = 1 / (1 + np.exp(a * decisions + b))
    if each.shape[1] == 1:
        return np.hstack([1 - each, each])
    return each / each.sum(axis=1, keepdims=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=pathlib.Path)
    parser.add_argument("csv")
    parser.add_argument("--docs", type=pathlib.Path, default=DOCS)
    args = parser.parse_args()
    config = json.loads((args.model_dir / "config.json").read_text(encoding="utf-8"))
    texts, _ = reading.rows(args.csv)
    predicted, decisions = documented.names(args.docs)["classify"](args.model_dir, texts)
    result = {
        "labels": [config["id2label"][str(number)] for number in range(len(config["id2label"]))],
        "predicted": predicted,
        "decision": decisions.tolist(),
    }
    model = load_file(args.model_dir / "model.safetensors")
    if "platt" in model:
        result["probability"] = probabilities(model["platt"], decisions).tolist()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
