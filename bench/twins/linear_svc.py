"""A stronger scikit-learn: LinearSVC on unigrams and bigrams. Trains, predicts, prints one JSON object.

    linear_svc.py train.csv test.csv
"""

import json
import sys
import time

import pandas
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC


def main():
    train, test = (pandas.read_csv(path, keep_default_na=False, dtype=str) for path in sys.argv[1:])
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LinearSVC(random_state=0))
    model.fit(train["text"], train["label"])
    predicted = model.predict(test["text"])
    print(json.dumps({
        "accuracy": float(accuracy_score(test["label"], predicted)),
        "macro_f1": float(f1_score(test["label"], predicted, average="macro")),
        "cpu_seconds": time.process_time(),
    }))


if __name__ == "__main__":
    main()
