"""Accuracy, macro-F1, bootstrap intervals and ratios of pairs."""

import collections
import random
import statistics

DRAWS = 1000
SYMBOLS = "0123456789abcdefghijklmnopqrstuvwxyz"


def packed(labels, names):
    """Encodes labels as one character each, the index in `names`.

    Returns the labels unchanged if there are more names than characters.
    """
    return (
        "".join(SYMBOLS[names.index(label)] for label in labels)
        if len(names) <= len(SYMBOLS)
        else labels
    )


def unpacked(found, names):
    return [names[SYMBOLS.index(symbol)] for symbol in found] if isinstance(found, str) else found


def accuracy(cells):
    """Returns the accuracy. `cells`: the confusion matrix as {(truth, predicted): count}."""
    return sum(count for (truth, found), count in cells.items() if truth == found) / sum(
        cells.values()
    )


def macro_f1(cells):
    """Returns the mean F1 over all true or predicted classes, as scikit-learn's `f1_score` does."""
    hits, named = collections.Counter(), collections.Counter()
    for (truth, found), count in cells.items():
        named[truth] += count
        named[found] += count
        if truth == found:
            hits[truth] += count
    return statistics.fmean(2 * hits[label] / named[label] for label in named)


def cells(truth, found):
    return collections.Counter(zip(truth, found, strict=True))


def bootstrap(truth, ours, baseline, seed=0, draws=DRAWS):
    """Returns 95 % intervals of both sides and of their difference, by paired bootstrap.

    `ours`, `baseline`: the predictions of each run. A side's score is the mean of its runs. Rows
    with the same truth and predictions are drawn together, as one kind: there are few kinds, so a
    draw is cheap.
    """
    seen = collections.Counter(zip(truth, *ours, *baseline, strict=True))
    kinds, weights = list(seen), list(seen.values())
    runs = [range(1, 1 + len(ours)), range(1 + len(ours), 1 + len(ours) + len(baseline))]
    draw, found = random.Random(seed), collections.defaultdict(list)
    for _ in range(draws):
        drawn = collections.Counter(draw.choices(kinds, weights, k=len(truth)))
        for name, score in [("accuracy", accuracy), ("macro_f1", macro_f1)]:
            sides = [statistics.fmean(score(answered(drawn, run)) for run in side) for side in runs]
            found[name, "ours"].append(sides[0])
            found[name, "baseline"].append(sides[1])
            found[name, "difference"].append(sides[0] - sides[1])
    return {key: interval(values) for key, values in found.items()}


def answered(drawn, run):
    """Returns the confusion matrix of one run on the drawn rows."""
    found = collections.Counter()
    for kind, count in drawn.items():
        found[kind[0], kind[run]] += count
    return found


def interval(values):
    """Returns the 2.5th and the 97.5th percentile."""
    values = sorted(values)
    cut = round(0.025 * (len(values) - 1))
    return values[cut], values[-1 - cut]


def pair_ratios(ours, baseline):
    """Returns the median, lowest and highest of ours / baseline over the pairs, or None."""
    ratios = [
        ours[pair] / baseline[pair] for pair in sorted(ours) if pair in baseline and baseline[pair]
    ]
    return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None
