"""Makes input for the judges' own tests with scikit-learn: `judged.py rows.csv FOLDER`."""

import argparse
import json
import pathlib
import sys

import numpy as np
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "tests/judges"))
import reading

texts, labels = reading.rows(sys.argv[1])
folder = pathlib.Path(sys.argv[2])


parser = argparse.ArgumentParser()
reading.add_vectorizer_flags(parser)
flags = ["--max-ngrams", "2", "--min-df", "3", "--stopwords", "english"]
vectorizer = reading.vectorizer(parser.parse_args(flags))
matrix = vectorizer.fit_transform(texts).sorted_indices()
terms = list(vectorizer.get_feature_names_out())
arrays = {
    "indptr": matrix.indptr.astype(np.int64),
    "indices": matrix.indices.astype(np.int32),
    "data": matrix.data.astype(np.float32),
}
save_file(arrays, folder / "matrix.safetensors")
changed = arrays["data"].copy()
changed[17] += 0.01
save_file({**arrays, "data": changed}, folder / "changed.safetensors")
(folder / "vocabulary.txt").write_text("".join(f"{term}\n" for term in terms), encoding="utf-8")

for loss in ["hinge", "squared_hinge", "log"]:
    if loss == "log":
        model = LogisticRegression(solver="liblinear", C=0.5, tol=1e-8, max_iter=10_000)
    else:
        model = LinearSVC(loss=loss, C=0.5, tol=1e-8, max_iter=1_000_000, random_state=1)
    model.fit(matrix, labels)
    into = folder / f"model-{loss}"
    into.mkdir()
    save_file(
        {
            "coefficients": model.coef_,
            "intercepts": model.intercept_,
            "scale": vectorizer.idf_[None, :].copy(),
        },
        into / "model.safetensors",
    )
    (into / "vocabulary.txt").write_text("".join(f"{term}\n" for term in terms), encoding="utf-8")
    config = {
        "id2label": {"0": "0", "1": "1"},
        "max_ngrams": 2,
        "min_word_length": 2,
        "stop_words": sorted(vectorizer.get_stop_words()),
        "term_frequency": "raw",
        "weighting": "tfidf",
    }
    (into / "config.json").write_text(json.dumps(config))
    if loss == "hinge":
        expected = {"predicted": model.predict(matrix).tolist()}
        (folder / "expected.json").write_text(json.dumps(expected))

(folder / "truth.csv").write_text("text,label\n1,a\n2,a\n3,b\n4,b\n")
(folder / "predictions.csv").write_text(
    "record,label,probability,score,probability:a,probability:b\n"
    "1,a,0.9,1,0.9,0.1\n2,b,0.6,1,0.4,0.6\n3,b,0.8,1,0.2,0.8\n4,b,0.7,1,0.3,0.7\n"
)
