"""Metrics and predictions of scikit-learn for rows with several labels.

    multi_label.py train.csv test.csv predictions.jsonl --baseline svm

The files have the columns `text` and `label`, with labels joined by `|`. The predictions are what
`predict --format jsonl --all-classes` printed for test.csv. Prints JSON: `metrics` of these
predictions, `baseline`: micro-F1 of `OneVsRestClassifier` of the classifier that the trainer has by
default (`complement` is `nb --model-type complement --norm`), and `equal`: the share of rows and
labels for which both predict the same. For `nb` also `probability`, the largest difference.
`--balanced` and `--positive-weight` are the class weights of each problem of two classes.
"""

import argparse
import csv
import json

import numpy as np
import reading
from sklearn.base import BaseEstimator, ClassifierMixin
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
from sklearn.utils.class_weight import compute_class_weight


class WeightedNB(ClassifierMixin, BaseEstimator):
    """Naive Bayes with class weights, which scikit-learn has as weights of rows only."""

    def __init__(self, classifier=None, class_weight=None, row_weights=None):
        self.classifier = classifier
        self.class_weight = class_weight
        self.row_weights = row_weights

    def fit(self, rows, labels):
        weights = self.row_weights
        classes = np.array([0, 1])
        of_classes = compute_class_weight(
            self.class_weight, classes=classes, y=labels, sample_weight=weights
        )
        self.classifier.fit(rows, labels, sample_weight=weights * of_classes[labels])
        self.classes_ = self.classifier.classes_
        return self

    def predict_proba(self, rows):
        return self.classifier.predict_proba(rows)


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = [[label for label in row["label"].split("|") if label] for row in rows]
    return [row["text"] for row in rows], labels


def baseline_of(args, weights):
    """Returns the vectorizer and the classifier of each label."""
    ngrams = {"ngram_range": (1, 2), "min_df": 2}
    if args.baseline == "svm":
        classifier = LinearSVC(tol=1e-6, max_iter=100_000, class_weight=weights)
        return TfidfVectorizer(**ngrams), classifier
    classifier = ComplementNB(alpha=args.alpha, norm=True)
    if args.baseline == "nb":
        classifier = MultinomialNB(alpha=args.alpha, fit_prior=not args.no_fit_prior)
    vectorizer = TfidfVectorizer if args.tfidf else CountVectorizer
    row_weights = reading.weights(args.train, args.weight_column)
    return vectorizer(**ngrams), WeightedNB(classifier, weights, row_weights)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ["train", "test", "predictions"]:
        parser.add_argument(name)
    parser.add_argument("--baseline", choices=["svm", "nb", "complement"], required=True)
    parser.add_argument("--balanced", action="store_true")
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--tfidf", action="store_true")
    parser.add_argument("--no-fit-prior", action="store_true")
    parser.add_argument("--weight-column", help="column with the weights of the rows")
    parser.add_argument("--positive-weight", type=float, help="weight of the rows with a label")
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
    weights = {0: 1.0, 1: args.positive_weight} if args.positive_weight else None
    vectorizer, classifier = baseline_of(args, "balanced" if args.balanced else weights)
    baseline = OneVsRestClassifier(classifier)
    targets = binarizer.transform(train_labels)
    baseline.fit(vectorizer.fit_transform(train), targets)
    test_matrix = vectorizer.transform(test)
    theirs = baseline.predict(test_matrix)
    result = {
        "metrics": {name: float(value) for name, value in metrics.items()},
        "baseline": float(f1_score(truth, theirs, average="micro", zero_division=0)),
        "equal": float((theirs == predicted).mean()),
    }
    if args.baseline != "svm":
        # A label of all rows is certain for scikit-learn.
        varies = targets.min(axis=0) < 1
        difference = np.abs(baseline.predict_proba(test_matrix) - np.array(scores))
        result["probability"] = float(difference[:, varies].max())
    print(json.dumps(result))


if __name__ == "__main__":
    main()
