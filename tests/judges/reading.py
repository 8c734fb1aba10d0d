"""Shared code of the judges: reading a CSV, scikit-learn's vectorizer with the trainer's flags."""

import csv
import re
import sys

from sklearn.feature_extraction.text import TfidfVectorizer

csv.field_size_limit(sys.maxsize)


def rows(path, text="text", label="label"):
    """Returns texts and labels as lists of strings; `NA` is a text."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        pairs = [(row[text], row.get(label, "")) for row in csv.DictReader(file)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def terms(path):
    """Returns the terms of a vocabulary.txt: `\\n`, `\\r` and `\\\\` stand for the characters."""
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    characters = {"n": "\n", "r": "\r", "\\": "\\"}
    return [re.sub(r"\\(.)", lambda found: characters[found[1]], line) for line in lines]


def number_or_share(value):
    """Parses a count of rows (`5`) or a proportion (`0.9`), as scikit-learn does."""
    return float(value) if "." in value else int(value)


def add_vectorizer_flags(parser):
    """Adds the trainer's flags for features."""
    parser.add_argument("--analyzer", default="word", choices=["word", "char", "char_wb"])
    parser.add_argument("--token-pattern", default=r"(?u)\b\w\w+\b")
    parser.add_argument("--strip-accents", choices=["ascii", "unicode"])
    parser.add_argument("--no-lowercase", action="store_true")
    parser.add_argument("--min-ngrams", type=int, default=1)
    parser.add_argument("--max-ngrams", type=int, default=1)
    parser.add_argument("--min-df", type=number_or_share, default=1)
    parser.add_argument("--max-df", type=number_or_share, default=1.0)
    parser.add_argument("--max-features", type=int)
    parser.add_argument(
        "--stopwords", default="none", help="`english`, `none` or a file, one word a line"
    )
    parser.add_argument("--sublinear-tf", action="store_true")


def options(args):
    """Returns the arguments of scikit-learn's CountVectorizer."""
    words = {"none": None, "english": "english"}.get(args.stopwords, "file")
    if words == "file":
        with open(args.stopwords, encoding="utf-8") as file:
            words = [line.strip() for line in file if line.strip()]
    return {
        "analyzer": args.analyzer,
        "token_pattern": args.token_pattern,
        "strip_accents": args.strip_accents,
        "lowercase": not args.no_lowercase,
        "ngram_range": (args.min_ngrams, args.max_ngrams),
        "min_df": args.min_df,
        "max_df": args.max_df,
        "max_features": args.max_features,
        "stop_words": words,
    }


def vectorizer(args):
    return TfidfVectorizer(**options(args), sublinear_tf=args.sublinear_tf)
