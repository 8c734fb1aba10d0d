"""Compares a model folder of `nb`, and its predictions, with scikit-learn's naive Bayes.

    naive_bayes.py MODEL_DIR predictions.jsonl train.csv test.csv --classifier complement --tfidf

The flags are those of the training. predictions.jsonl is from `predict --format jsonl
--all-classes` for test.csv. The folder is read with the code in the documentation. Prints JSON:
`equal_vocabulary`, `labels` (rows of test.csv whose label differs), and the largest differences of
`feature_log_prob`, `class_log_prior`, `joint` (joint log likelihood of the rows of test.csv) and
`probability`.
"""

import argparse
import json
import pathlib

import documented
import numpy as np
import reading
from safetensors.numpy import load_file
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.utils.class_weight import compute_sample_weight

DOCS = pathlib.Path(__file__).parents[2] / "docs/reference/models/nb.md"


def fitted(args):
    """Returns scikit-learn's vectorizer as a function, its terms, and the classifier."""
    texts, labels = reading.rows(args.train)
    vectorizer = CountVectorizer(**reading.options(args), binary=args.binary)
    counts = vectorizer.fit_transform(texts)
    tfidf = TfidfTransformer(sublinear_tf=args.sublinear_tf)
    if not args.tfidf:
        tfidf.set_params(use_idf=False, norm=None)
    tfidf.fit(counts)
    if args.classifier == "complement":
        model = ComplementNB(alpha=args.alpha, norm=args.norm)
    else:
        model = MultinomialNB(alpha=args.alpha, fit_prior=not args.no_fit_prior)
    weights = compute_sample_weight("balanced", labels) if args.balanced else None
    model.fit(tfidf.transform(counts), labels, sample_weight=weights)

    def features(texts):
        return tfidf.transform(vectorizer.transform(texts))

    return features, list(vectorizer.get_feature_names_out()), model


def largest(ours, theirs):
    return float(np.abs(np.asarray(ours) - np.asarray(theirs)).max(initial=0.0))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=pathlib.Path)
    parser.add_argument("predictions", type=pathlib.Path)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--classifier", choices=["multinomial", "complement"], required=True)
    reading.add_vectorizer_flags(parser)
    parser.set_defaults(max_ngrams=2, min_df=2)
    parser.add_argument("--alpha", type=float, default=1.0)
    for flag in ("--tfidf", "--binary", "--no-fit-prior", "--norm", "--balanced"):
        parser.add_argument(flag, action="store_true")
    args = parser.parse_args()
    features, terms, model = fitted(args)
    texts, _ = reading.rows(args.test)

    config = json.loads((args.model_dir / "config.json").read_text(encoding="utf-8"))
    labels = [config["id2label"][str(number)] for number in range(len(config["id2label"]))]
    # scikit-learn's classes are in the order of strings.
    order = [labels.index(label) for label in model.classes_]
    vocabulary = reading.terms(args.model_dir / "vocabulary.txt")
    arrays = load_file(args.model_dir / "model.safetensors")
    prior = np.zeros(len(labels))
    if args.classifier == "multinomial":
        prior = model.class_log_prior_
    _, joint = documented.names(DOCS)["classify"](args.model_dir, texts)
    rows = features(texts)
    predicted = [json.loads(line) for line in args.predictions.read_text().splitlines()]
    probability = [[row["probabilities"][label] for label in model.classes_] for row in predicted]
    sure = np.sort(model.predict_proba(rows), axis=1)
    ties = sure[:, -1] - sure[:, -2] < 1e-6
    wrong = [
        row
        for row, (ours, theirs) in enumerate(zip(predicted, model.predict(rows), strict=True))
        if ours["label"] != theirs and not ties[row]
    ]
    result = {
        "equal_vocabulary": vocabulary == terms,
        "labels": wrong,
        "feature_log_prob": largest(arrays["feature_log_prob"].T[order], model.feature_log_prob_),
        "class_log_prior": largest(arrays["class_log_prior"][order], prior),
        "joint": largest(joint[:, order], model.predict_joint_log_proba(rows)),
        "probability": largest(probability, model.predict_proba(rows)),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
