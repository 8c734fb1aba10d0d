"""Compares a tf-idf matrix with scikit-learn's of the same CSV.

    tfidf.py MATRIX.safetensors rows.csv --max-ngrams 2 --min-df 5 --stopwords english

MATRIX has the rows in file order as `indptr` (i64), `indices` (i32), `data` (f32). `vocabulary.txt`
in its folder (another name: --terms) has one term per line, in column order. Prints JSON:
`equal_vocabulary`, `max_abs_difference` (null if the shapes differ), the counts, and examples of
terms that only one side has. Exits with 0 also if they differ.
"""

import argparse
import json
import pathlib

import numpy
import reading
from safetensors.numpy import load_file
from scipy.sparse import csr_matrix


def read_theirs(path, terms_path, rows):
    tensors = load_file(path)
    terms = reading.terms(terms_path)
    matrix = csr_matrix(
        (tensors["data"], tensors["indices"], tensors["indptr"]), shape=(rows, len(terms))
    )
    matrix.check_format(full_check=True)
    return matrix, terms


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("matrix", type=pathlib.Path)
    parser.add_argument("csv")
    parser.add_argument("--terms", type=pathlib.Path)
    reading.add_vectorizer_flags(parser)
    args = parser.parse_args()

    texts, _ = reading.rows(args.csv)
    vectorizer = reading.vectorizer(args)
    ours = vectorizer.fit_transform(texts)
    our_terms = list(vectorizer.get_feature_names_out())
    terms_path = args.terms or args.matrix.with_name("vocabulary.txt")
    theirs, their_terms = read_theirs(args.matrix, terms_path, len(texts))

    equal = our_terms == their_terms
    difference = None
    if equal:
        difference = float(numpy.abs((ours - theirs.astype(numpy.float64)).data).max(initial=0.0))
    print(
        json.dumps(
            {
                "equal_vocabulary": equal,
                "max_abs_difference": difference,
                "rows": len(texts),
                "columns": [len(our_terms), len(their_terms)],
                "nonzeros": [int(ours.nnz), int(theirs.nnz)],
                "python_only": sorted(set(our_terms) - set(their_terms))[:10],
                "matrix_only": sorted(set(their_terms) - set(our_terms))[:10],
            }
        )
    )


if __name__ == "__main__":
    main()
