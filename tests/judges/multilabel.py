"""Metrics and predictions of scikit-learn for rows with several labels.

    multilabel.py train.csv test.csv predictions.jsonl --twin svm

The files have the columns `text` and `label`, with labels joined by `|`. The predictions are what
`predict --format jsonl --all-classes` printed for test.csv. Prints JSON: `metrics` of these
predictions, `twin`: micro-F1 of `OneVsRestClassifier` of the classifier that the trainer has by
default (`complement` is `nb --model-type complement --norm`), and `equal`: the share of rows and labels for which both predict the same.
"""

import argparse
import csv
import json

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    hamming_loss,
    label_ranking_average_precision_score,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.svm import LinearSVC


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = [[label for label in row["label"].split("|") if label] for row in rows]
    return [row["text"] for row in rows], labels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ["train", "test", "predictions"]:
        parser.add_argument(name)
    parser.add_argument("--twin", choices=["svm", "nb", "complement"], required=True)
    args = parser.parse_args()
    (train, train_labels), (test, test_labels) = read(args.train), read(args.test)
    binarizer = MultiLabelBinarizer().fit(train_labels)
    truth = binarizer.transform(test_labels)
    with open(args.predictions, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    predicted = binarizer.transform([row["labels"] for row in rows])
    metrics = {
        "micro_f1": f1_score(truth, predicted, average="micro", zero_division=0),
        "macro_f1": f1_score(truth, predicted, average="macro", zero_division=0),
        "weighted_f1": f1_score(truth, predicted, average="weighted", zero_division=0),
        "samples_f1": f1_score(truth, predicted, average="samples", zero_division=0),
        "hamming_loss": hamming_loss(truth, predicted),
        "accuracy": accuracy_score(truth, predicted),
    }
    if "probabilities" in rows[0]:
        scores = [[row["probabilities"][name] for name in binarizer.classes_] for row in rows]
        ranked = label_ranking_average_precision_score(truth, np.array(scores))
        metrics["lrap"] = ranked
    vectorizer, classifier = {
        "svm": (TfidfVectorizer, LinearSVC(tol=1e-6, max_iter=100_000)),
        "nb": (CountVectorizer, MultinomialNB()),
        "complement": (CountVectorizer, ComplementNB(norm=True)),
    }[args.twin]
    vectorizer = vectorizer(ngram_range=(1, 2), min_df=2)
    twin = OneVsRestClassifier(classifier)
    twin.fit(vectorizer.fit_transform(train), binarizer.transform(train_labels))
    theirs = twin.predict(vectorizer.transform(test))
    result = {
        "metrics": {name: float(value) for name, value in metrics.items()},
        "twin": float(f1_score(truth, theirs, average="micro", zero_division=0)),
        "equal": float((theirs == predicted).mean()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
