"""TfidfVectorizer with SGDClassifier or LinearSVC, the baselines of `svm`, or CountVectorizer with
MultinomialNB, that of `nb`; saved with joblib.

    sklearn_svm.py train rows.csv model.joblib [--classifier linear-svc] [--max-ngrams 2]
        [--min-df 5] [--stopwords english]
    sklearn_svm.py predict model.joblib rows.csv predictions.csv
    sklearn_svm.py one model.joblib "a film I shall remember"

--threads is ignored: the classifiers use one thread. Rows are read and written with pandas, as in
most scripts.
"""

import commands


def classifier(args):
    from sklearn.linear_model import SGDClassifier
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.svm import LinearSVC

    if args.classifier == "multinomial-nb":
        return MultinomialNB(alpha=args.alpha)
    if args.classifier == "linear-svc":
        return LinearSVC(loss=args.loss, C=args.c, random_state=args.seed)
    return SGDClassifier(loss=args.loss, alpha=args.alpha, random_state=args.seed)


def train(args):
    import joblib
    import pandas
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    rows = pandas.read_csv(args.csv, keep_default_na=False)
    counts = args.classifier == "multinomial-nb"
    vectorizer = (CountVectorizer if counts else TfidfVectorizer)(
        min_df=args.min_df,
        stop_words=None if args.stopwords == "none" else args.stopwords,
        ngram_range=(1, args.max_ngrams),
    )
    model = make_pipeline(vectorizer, classifier(args))
    model.fit(rows["text"], rows["label"])
    joblib.dump(model, args.model)


def predict(args):
    import joblib
    import pandas

    model = joblib.load(args.model)
    rows = pandas.read_csv(args.csv, keep_default_na=False)
    pandas.DataFrame({"predicted": model.predict(rows["text"])}).to_csv(
        args.predictions, index=False
    )


def one(args):
    import joblib

    print(joblib.load(args.model).predict([args.text])[0])


def flags(actions):
    action = actions["train"]
    action.add_argument(
        "--classifier", choices=["sgd", "linear-svc", "multinomial-nb"], default="sgd"
    )
    action.add_argument("--loss", choices=["hinge", "squared_hinge"], default="hinge")
    action.add_argument("--max-ngrams", type=int, default=1)
    action.add_argument("--min-df", type=int, default=5)
    action.add_argument("--stopwords", default="english")
    action.add_argument("--alpha", type=float, default=1e-4)
    action.add_argument("--c", type=float, default=1.0)


if __name__ == "__main__":
    commands.main(__doc__, train, predict, one, flags)
