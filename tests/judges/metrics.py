"""Computes scikit-learn's metrics of a file of predictions, to compare with `evaluate --json`.

    metrics.py predictions.csv rows.csv [--bins 15]

The predictions are the output of `predict --input rows.csv --all-classes`, as CSV or, in full
precision, with `--format jsonl`; the truth is the column `label` of the rows. Prints JSON:
accuracy, macro_f1, per_class, confusion; with probabilities also log_loss, ece, and roc_auc and
average_precision per class.
"""

import argparse
import csv
import json
import sys

import numpy
import reading
from sklearn import metrics

PREFIX = "probability:"
csv.field_size_limit(sys.maxsize)


def read(path):
    """Returns labels, class names, and probabilities (rows, classes) or None."""
    with open(path, encoding="utf-8", newline="") as file:
        if path.endswith(".jsonl"):
            rows = [json.loads(line) for line in file]
            each = [row.get("probabilities") or {} for row in rows]
        else:
            rows = list(csv.DictReader(file))
            each = [
                {name.removeprefix(PREFIX): row[name] for name in row if name.startswith(PREFIX)}
                for row in rows
            ]
    names = list(each[0])
    known = names and all(all(row.values()) for row in each)
    probabilities = (
        numpy.array([[float(row[name]) for name in names] for row in each]) if known else None
    )
    return [row["label"] for row in rows], names if known else [], probabilities


def expected_calibration_error(truth, classes, probabilities, bins):
    """Guo et al. 2017: the top label's confidence in bins of equal width, right-closed."""
    confidence = probabilities.max(axis=1)
    right = numpy.array(classes)[probabilities.argmax(axis=1)] == numpy.array(truth)
    index = numpy.clip(numpy.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    error = 0.0
    for bin_ in range(bins):
        chosen = index == bin_
        if chosen.any():
            error += chosen.mean() * abs(right[chosen].mean() - confidence[chosen].mean())
    return float(error)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("predictions")
    parser.add_argument("rows")
    parser.add_argument("--bins", type=int, default=15)
    args = parser.parse_args()

    predicted, names, probabilities = read(args.predictions)
    _, truth = reading.rows(args.rows)
    labels = sorted(set(truth) | set(predicted) | set(names))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        truth, predicted, labels=labels, zero_division=0
    )
    per_class = {
        label: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for label, p, r, f, s in zip(labels, precision, recall, f1, support)
    }
    result = {
        "rows": len(truth),
        "accuracy": float(metrics.accuracy_score(truth, predicted)),
        "macro_f1": float(metrics.f1_score(truth, predicted, average="macro", zero_division=0)),
        "confusion": metrics.confusion_matrix(truth, predicted, labels=labels).tolist(),
        "labels": labels,
        "per_class": per_class,
    }
    if probabilities is not None:
        order = numpy.argsort(numpy.array(names))
        probabilities, names = probabilities[:, order], sorted(names)
        # scikit-learn requires a sum of exactly 1; printed probabilities are rounded.
        normalised = probabilities / probabilities.sum(axis=1, keepdims=True)
        result["log_loss"] = float(metrics.log_loss(truth, normalised, labels=names))
        result["ece"] = expected_calibration_error(truth, names, probabilities, args.bins)
        for column, name in enumerate(names):
            is_it = numpy.array(truth) == name
            # The areas are undefined unless both classes occur.
            if is_it.any() and not is_it.all():
                scores = probabilities[:, column]
                per_class[name]["roc_auc"] = float(metrics.roc_auc_score(is_it, scores))
                per_class[name]["average_precision"] = float(
                    metrics.average_precision_score(is_it, scores)
                )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
