"""Accuracy, macro-F1, bootstrap intervals and ratios of pairs."""

import collections
import random
import statistics

DRAWS = 1000
SYMBOLS = "0123456789abcdefghijklmnopqrstuvwxyz"


def packed(labels, names):
    """A character per row, its label's place in `names`: classes are few, rows many. The labels where there are too many."""
    return (
        "".join(SYMBOLS[names.index(label)] for label in labels)
        if len(names) <= len(SYMBOLS)
        else labels
    )


def unpacked(found, names):
    return [names[SYMBOLS.index(symbol)] for symbol in found] if isinstance(found, str) else found


def accuracy(cells):
    """`cells`: how often each (truth, predicted) was seen."""
    return sum(count for (truth, found), count in cells.items() if truth == found) / sum(
        cells.values()
    )


def macro_f1(cells):
    """As scikit-learn has it: the mean over all classes that are true or predicted anywhere."""
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
    """95 % intervals of both sides and of their difference, each draw with the same rows for both.

    `ours` and `baseline` are the answers of each run; a side's score is the mean of its runs. Drawn are kinds of rows, (truth, answers...),
    instead of rows: there are few different ones, so a draw is cheap.
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
    """How often each (truth, predicted) is among drawn kinds of rows, by the answers of one run."""
    found = collections.Counter()
    for kind, count in drawn.items():
        found[kind[0], kind[run]] += count
    return found


def interval(values):
    """From the 2.5th to the 97.5th percentile."""
    values = sorted(values)
    cut = round(0.025 * (len(values) - 1))
    return values[cut], values[-1 - cut]


def pair_ratios(ours, baseline):
    """Median, lowest and highest of ours / baseline, pair by pair: both of a pair met the same machine."""
    ratios = [
        ours[pair] / baseline[pair] for pair in sorted(ours) if pair in baseline and baseline[pair]
    ]
    return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None
