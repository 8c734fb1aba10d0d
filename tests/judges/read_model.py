"""Predicts with a model folder of the SVM trainer, without the trainer.

    read_model.py MODEL_DIR rows.csv

Prints JSON: `labels`, `predicted` (one label per row), `decision` (one number per row and binary problem) and,
if the model is calibrated, `probability` (one per row and class).
"""

import argparse
import json
import pathlib

import numpy as np
from safetensors.numpy import load_file
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

import reading


def decide(folder, texts):
    """The documented way to read a model; the rest of this file is decoration."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    terms = (folder / "vocabulary.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    model = load_file(folder / "model.safetensors")
    word = r"(?u)\b\w\w+\b" if config["min_word_length"] == 2 else r"(?u)\b\w+\b"
    counter = CountVectorizer(vocabulary=terms, ngram_range=(1, config["max_ngrams"]),
                              stop_words=config["stop_words"] or None, token_pattern=word)
    counts = counter.transform(texts).astype(np.float64)
    tf = {"raw": lambda n: n, "binary": np.sign, "sublinear": lambda n: 1 + np.log(n)}
    counts.data = tf[config["term_frequency"]](counts.data)
    features = [normalize(counts.multiply(scale).tocsr()) for scale in model["scale"]]
    features *= len(model["coefficients"]) // len(features)  # one scale for all classes, or one per class
    return np.stack([x @ w for x, w in zip(features, model["coefficients"])], axis=1) + model["intercepts"]


def probabilities(model, decisions):
    """Platt's sigmoid per binary problem; several are brought to the sum 1."""
    a, b = model["platt"].T
    each = 1 / (1 + np.exp(a * decisions + b))
    if each.shape[1] == 1:
        return np.hstack([1 - each, each])
    return each / each.sum(axis=1, keepdims=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=pathlib.Path)
    parser.add_argument("csv")
    args = parser.parse_args()
    config = json.loads((args.model_dir / "config.json").read_text(encoding="utf-8"))
    labels = [config["id2label"][str(number)] for number in range(len(config["id2label"]))]
    texts, _ = reading.rows(args.csv)
    decisions = decide(args.model_dir, texts)
    scores = np.hstack([-decisions, decisions]) if len(labels) == 2 else decisions
    result = {"labels": labels, "decision": decisions.tolist()}
    model = load_file(args.model_dir / "model.safetensors")
    if "platt" in model:
        scores = probabilities(model, decisions)
        result["probability"] = scores.tolist()
    result["predicted"] = [labels[number] for number in scores.argmax(axis=1)]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
