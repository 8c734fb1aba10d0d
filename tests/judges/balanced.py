"""Recall of the rarest class with scikit-learn's balanced class weights.

    balanced.py train.csv test.csv --loss squared_hinge

Tf-idf as `svm` has it by default, and LinearSVC, or LogisticRegression for --loss log, with
`class_weight="balanced"`. Prints JSON: `label` of the rarest class, and its `recall` on test.csv
with balanced weights and `unweighted`.
"""

import argparse
import collections
import json

import reading
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.svm import LinearSVC


def recall(train, test, loss, class_weight, label):
    if loss == "log":
        model = LogisticRegression(solver="liblinear", class_weight=class_weight, max_iter=1000)
    else:
        model = LinearSVC(loss=loss, class_weight=class_weight, dual=True, max_iter=100_000)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2)
    model.fit(vectorizer.fit_transform(train[0]), train[1])
    predicted = model.predict(vectorizer.transform(test[0]))
    return float(recall_score(test[1], predicted, labels=[label], average=None)[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--loss", choices=["hinge", "squared_hinge", "log"], required=True)
    args = parser.parse_args()
    train, test = reading.rows(args.train), reading.rows(args.test)
    label = min(collections.Counter(train[1]).items(), key=lambda item: (item[1], item[0]))[0]
    result = {
        "label": label,
        "recall": recall(train, test, args.loss, "balanced", label),
        "unweighted": recall(train, test, args.loss, None, label),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
