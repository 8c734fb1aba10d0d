"""A scikit-learn pipeline behind Flask or FastAPI: the baseline of `svm serve`.

gunicorn runs `serve_sklearn:flask_app()`, uvicorn `serve_sklearn:fastapi_app`. MODEL_DIR is the
model folder of `svm`: both sides have the same vocabulary, weights and sigmoid, so equal answers.
"""

import json
import os
import pathlib

import numpy as np
from safetensors.numpy import load_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC


def classifier():
    """Returns a function from texts to labels with probabilities. The model has two classes."""
    folder = pathlib.Path(os.environ["MODEL_DIR"])
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    terms = (folder / "vocabulary.txt").read_text(encoding="utf-8").split("\n")[:-1]
    labels = np.array([config["id2label"][str(label)] for label in range(len(config["id2label"]))])
    tensors = load_file(folder / "model.safetensors")
    vectorizer = TfidfVectorizer(
        vocabulary=terms,
        token_pattern={1: r"\b\w+\b", 2: r"\b\w\w+\b"}[config["min_word_length"]],
        ngram_range=(1, config["max_ngrams"]),
        stop_words=config["stop_words"] or None,
        sublinear_tf=config["term_frequency"] == "sublinear",
    )
    vectorizer.idf_ = tensors["scale"][0].astype(np.float64)
    svc = LinearSVC()
    svc.classes_ = labels
    svc.coef_ = tensors["coefficients"].astype(np.float64)
    svc.intercept_ = tensors["intercepts"].astype(np.float64)
    pipeline = make_pipeline(vectorizer, svc)
    ((slope, offset),) = tensors["platt"]

    def classify(texts):
        decisions = pipeline.decision_function(texts)
        second = 1 / (1 + np.exp(slope * decisions + offset))
        best = (decisions > 0).astype(int)
        scores = np.where(best == 1, second, 1 - second)
        return [
            {"label": str(labels[label]), "score": float(score)}
            for label, score in zip(best, scores)
        ]

    return classify


def flask_app():
    from flask import Flask, jsonify, request

    classify = classifier()
    app = Flask(__name__)

    @app.get("/ping")
    def ping():
        return ""

    @app.post("/invocations")
    def invocations():
        return jsonify(classify(request.get_json()["inputs"]))

    return app


def fastapi_app():
    import serve_fastapi

    return serve_fastapi.app(classifier())
