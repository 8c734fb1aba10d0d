"""Trains scikit-learn's liblinear on a CSV, to compare its objective with that of a model folder.

    liblinear.py rows.csv --loss squared_hinge --c 1.0 --max-ngrams 2 --min-df 5 [--model-dir DIR]

The objective of one class against the rest, with labels y of -1 and 1, is
    0.5 * (|w|^2 + b^2) + C * sum(loss(y * (w.x + b)))
The bias is regularised, as in liblinear with `intercept_scaling=1`. Prints JSON with one entry per
binary problem: `objective` of liblinear's solution and, with --model-dir, of the model's
`coefficients` (binary problems, terms) and `intercepts`, with the terms in scikit-learn's order.
Two classes are one problem, the second label being positive.
"""

import argparse
import json
import pathlib
import warnings

import numpy
import reading
from safetensors.numpy import load_file
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.utils.class_weight import compute_class_weight


def losses(loss, margins):
    if loss == "log":
        return numpy.logaddexp(0.0, -margins)
    hinge = numpy.maximum(0.0, 1.0 - margins)
    return hinge if loss == "hinge" else hinge**2


def objective(matrix, signs, loss, c, costs, weights, bias):
    margins = signs * (matrix @ weights + bias)
    return 0.5 * (weights @ weights + bias * bias) + c * float(costs @ losses(loss, margins))


def solve(matrix, signs, loss, c, costs, tolerance):
    """Solves one binary problem. Returns weights, bias, and True if liblinear converged."""
    if loss == "log":
        model = LogisticRegression(
            solver="liblinear", C=c, tol=tolerance, max_iter=1000, intercept_scaling=1
        )
    else:
        model = LinearSVC(
            loss=loss,
            C=c,
            tol=tolerance,
            max_iter=100_000,
            dual=True,
            intercept_scaling=1,
            random_state=0,
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(matrix, signs, sample_weight=costs)
    converged = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
    return model.coef_[0], float(model.intercept_[0]), converged


def row_costs(labels, classes, positive, class_weight):
    """Returns each row's cost under `class_weight`: "balanced", or a JSON file of the weights.

    For two classes liblinear weights both sides. For one class against the rest it weights only
    that class (`weighted_C[i], param->C` in its `train`).
    """
    if class_weight != "balanced":
        class_weight = json.loads(pathlib.Path(class_weight).read_text())
    weights = dict(
        zip(classes, compute_class_weight(class_weight, classes=numpy.array(classes), y=labels))
    )
    return numpy.array(
        [weights[name] if len(classes) == 2 or name == positive else 1.0 for name in labels]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv")
    parser.add_argument("--loss", choices=["hinge", "squared_hinge", "log"], default="hinge")
    parser.add_argument("--c", type=float, help="C; or give --alpha")
    parser.add_argument("--alpha", type=float, help="C = 1 / (rows * alpha)")
    parser.add_argument("--tolerance", type=float, default=1e-6)
    parser.add_argument("--class-weight", help="none, balanced, or a JSON file", default="none")
    parser.add_argument("--model-dir", type=pathlib.Path)
    reading.add_vectorizer_flags(parser)
    args = parser.parse_args()
    if (args.c is None) == (args.alpha is None):
        parser.error("give one of --c and --alpha")

    texts, labels = reading.rows(args.csv)
    c = args.c if args.c is not None else 1.0 / (len(texts) * args.alpha)
    matrix = reading.vectorizer(args).fit_transform(texts)
    classes = sorted(set(labels))
    model = load_file(args.model_dir / "model.safetensors") if args.model_dir else None

    positives = classes[1:] if len(classes) == 2 else classes
    problems = []
    for row, positive in enumerate(positives):
        signs = numpy.where(numpy.array(labels) == positive, 1.0, -1.0)
        costs = numpy.ones(len(labels))
        if args.class_weight != "none":
            costs = row_costs(labels, classes, positive, args.class_weight)
        weights, bias, converged = solve(matrix, signs, args.loss, c, costs, args.tolerance)
        problem = {
            "positive": positive,
            "objective": objective(matrix, signs, args.loss, c, costs, weights, bias),
            "converged": converged,
        }
        if model is not None:
            theirs = numpy.atleast_2d(model["coefficients"].astype(numpy.float64))[row]
            bias = float(model["intercepts"].astype(numpy.float64).ravel()[row])
            reached = objective(matrix, signs, args.loss, c, costs, theirs, bias)
            problem["model_objective"] = reached
            problem["relative_difference"] = (reached - problem["objective"]) / problem["objective"]
        problems.append(problem)
    print(
        json.dumps({"c": c, "rows": len(texts), "columns": matrix.shape[1], "problems": problems})
    )


if __name__ == "__main__":
    main()
