"""raw.jsonl to Markdown. A ratio is ours / twin, pair by pair; bold where ours costs more or is less accurate."""

import statistics

from measure import exponent

from comparison.jobs import OURS, TWIN
from comparison.scores import bootstrap, pair_ratios, unpacked

PLAIN = {"rows": None, "length": None, "epochs": None, "variant": ""}
# Title, kind of job, field of its line, factor and unit.
COSTS = [
    ("train, wall", "train", "wall_seconds", 1, "s"),
    ("train, CPU", "train", "cpu_seconds", 1, "s"),
    ("train, peak memory", "train", "peak_bytes", 1e-6, "MB"),
    ("model", "train", "model_bytes", 1e-6, "MB"),
    ("predict, wall", "predict", "wall_seconds", 1, "s"),
    ("predict, CPU", "predict", "cpu_seconds", 1, "s"),
    ("predict, peak memory", "predict", "peak_bytes", 1e-6, "MB"),
    ("start to the answer for one text", "one", "wall_seconds", 1000, "ms"),
]


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def times(ratio):
    """A cost's ratio; what costs no more than the twin as a fraction of it."""
    return f"1/{1 / ratio:.3g}" if ratio < 1 else f"**{ratio:.2f}**"


def ratio_cell(found):
    if not found:
        return ""
    middle, low, high = found
    return times(middle) if low == high else f"{times(middle)} ({times(low)} to {times(high)})"


def middle(values):
    return statistics.median(values.values())


def head(contest, *columns):
    return ["| " + " | ".join(["", contest.trainer, contest.twin, *columns]) + " |", "|---|---|---|" + "---|" * len(columns)]


def fields_of(plan, contest, data):
    return {"contest": contest.name, "data": data, "threads": plan.threads, **PLAIN}


def score_rows(store, plan, contest, data):
    """Accuracy and macro-F1 of the first pair, both sides on the same test rows, with intervals of 95 %."""
    found = []
    for side in (OURS, TWIN):
        lines = store.lines(**fields_of(plan, contest, data), what="predict", side=side, pair=0)
        if not lines:
            return []
        found += lines
    ours, twin = found
    answers = [unpacked(line[key], line["labels"]) for line, key in ((ours, "truth"), (ours, "predicted"), (twin, "predicted"))]
    intervals = bootstrap(*answers)
    rows = []
    for title, key in (("accuracy", "accuracy"), ("macro-F1", "macro_f1")):
        cells = [f"{line[key]:.4f} ({low:.4f} to {high:.4f})"
                 for line, side in ((ours, OURS), (twin, TWIN)) for low, high in [intervals[key, side]]]
        low, high = (100 * bound for bound in intervals[key, "difference"])
        difference = f"{100 * (ours[key] - twin[key]):+.2f} points ({low:+.2f} to {high:+.2f})"
        # Worse beyond the chance of the rows drawn.
        difference = f"**{difference}**" if high < 0 else difference
        rows.append(f"| {data}: {title} | {cells[0]} | {cells[1]} | {difference} | 1 |")
    return rows


def cost_rows(store, plan, contest, data, costs=COSTS):
    rows = []
    for title, what, key, factor, unit in costs:
        ours, twin = store.sides(key, **fields_of(plan, contest, data), what=what)
        if ours and twin:
            cells = [f"{number(factor * middle(side))} {unit}" for side in (ours, twin)]
            rows.append(f"| {data}: {title} | {cells[0]} | {cells[1]} | {ratio_cell(pair_ratios(ours, twin))} | {len(ours)} |")
        if ours and twin and (what, key) == ("predict", "wall_seconds"):
            count = store.lines(**fields_of(plan, contest, data), what=what)[0]["test_rows"]
            rates = [number(count / middle(side)) for side in (ours, twin)]
            rows.append(f"| {data}: predict, rows per second | {rates[0]} | {rates[1]} | | {len(ours)} |")
    return rows


def whole(store, plan, contest):
    rows = []
    for data in plan.data_sets:
        rows += score_rows(store, plan, contest, data) + cost_rows(store, plan, contest, data)
    return [*head(contest, "ratio or difference", "pairs"), *rows] if rows else []


def variants(store, plan, contest):
    rows = []
    for variant in contest.variants:
        for data in [variant.data] if variant.data else plan.data_sets:
            fields = {"contest": contest.name, "variant": variant.name, "data": data}
            for line in store.lines(**fields, what="train"):
                scores = [f"{found['accuracy']:.4f} | {found['macro_f1']:.4f}" for found in store.lines(**fields, what="predict")]
                rows.append(f"| {variant.name} | {data} | {line['wall_seconds']:.3g} s | {line['cpu_seconds']:.3g} s | "
                            f"{line['peak_bytes'] / 1e6:.0f} MB | {(scores or [' | '])[0]} |")
    title = ["| flags | data | wall | CPU | peak memory | accuracy | macro-F1 |", "|---|---|---|---|---|---|---|"]
    return [*title, *rows] if rows else []


def growth_points(store, plan, contest, side, key):
    """(rows, median) of each size, in order."""
    points = []
    for rows in plan.growth(contest):
        fields = fields_of(plan, contest, plan.first) | {"rows": rows}
        values = store.by_pair(key, side=side, what="train", **fields)
        if values:
            points.append((plan.rows_of(contest, rows), middle(values)))
    return points


def growth(store, plan, contest):
    """Costs by rows; the last line is the power of the rows that they grow with, start-up included."""
    keys = [("wall_seconds", 1, "s"), ("cpu_seconds", 1, "s"), ("peak_bytes", 1e-6, "MB")]
    columns = [growth_points(store, plan, contest, side, key) for key, _, _ in keys for side in (OURS, TWIN)]
    if not all(len(points) > 1 for points in columns):
        return []
    units = [(factor, unit) for _, factor, unit in keys for _ in (OURS, TWIN)]
    names = [f"{title}, {side}" for title in ("wall", "CPU", "peak memory") for side in (contest.trainer, contest.twin)]
    lines = ["| rows | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for size in sorted({rows for points in columns for rows, _ in points}):
        values = [dict(points).get(size) for points in columns]
        lines.append(f"| {size:,} | " + " | ".join(shown(value, *unit) for value, unit in zip(values, units)) + " |")
    lines.append("| exponent | " + " | ".join(f"{exponent(points):.2f}" for points in columns) + " |")
    if plan.synthetic(contest):
        fields = fields_of(plan, contest, "synthetic") | {"rows": plan.synthetic(contest), "what": "train"}
        values = [store.by_pair(key, side=side, **fields) for key, _, _ in keys for side in (OURS, TWIN)]
        if any(values):
            cells = [shown(middle(value) if value else None, *unit) for value, unit in zip(values, units)]
            lines.append(f"| {plan.synthetic(contest):,}, synthetic | " + " | ".join(cells) + " |")
    return lines


def shown(value, factor, unit):
    return "not measured" if value is None else f"{number(factor * value)} {unit}"


def threads(store, plan, contest):
    rows, weights = [], []
    asked = plan.thread_rows(contest)
    for count in (1, plan.threads):
        fields = fields_of(plan, contest, plan.first) | {"threads": count, "rows": asked, "what": "train"}
        sides = [store.by_pair(key, side=side, **fields) for key in ("wall_seconds", "cpu_seconds") for side in (OURS, TWIN)]
        if not all(sides):
            return []
        rows.append(f"| {count} | " + " | ".join(f"{number(middle(side))} s" for side in sides) + " |")
        weights.append(store.by_pair("weights", side=OURS, **fields))
    title = [f"| threads ({plan.rows_of(contest, asked):,} rows) | wall, {contest.trainer} | wall, {contest.twin} | "
             f"CPU, {contest.trainer} | CPU, {contest.twin} |", "|---|---|---|---|---|"]
    both = weights[0].keys() & weights[1].keys()
    same = [all(weights[0][pair] == weights[1][pair] for pair in both)] if both else []
    words = {True: "the same bytes", False: "**not the same bytes**"}
    return [*title, *rows, *(f"\nWeights of {contest.trainer} on 1 and {plan.threads} threads: {words[found]}." for found in same)]


def length_points(store, plan, contest, side):
    """(length, tokens per second) from what a second epoch takes."""
    points = []
    for length in plan.lengths(contest):
        rows = plan.length_rows(length)
        fields = fields_of(plan, contest, "long") | {"rows": rows, "length": length, "what": "train", "side": side}
        one, two = (store.by_pair("wall_seconds", **fields | {"epochs": epochs}) for epochs in (1, 2))
        rates = [rows * length / (two[pair] - one[pair]) for pair in one if pair in two and two[pair] > one[pair]]
        if rates:
            points.append((length, statistics.median(rates)))
    return points


def lengths(store, plan, contest):
    if not plan.lengths(contest):
        return []
    sides = [dict(length_points(store, plan, contest, side)) for side in (OURS, TWIN)]
    rows = []
    for length in plan.lengths(contest):
        ours, twin = (side.get(length) for side in sides)
        if ours and twin:
            rows.append(f"| {length} | {number(ours)} | {number(twin)} | {times(twin / ours)} |")
    title = [f"| tokens of a row | tokens per second, {contest.trainer} | {contest.twin} | time per token, ratio |", "|---|---|---|---|"]
    return [*title, *rows] if rows else []


TABLES = {
    "whole": ("Train and predict", whole),
    "variants": ("Other flags, ours alone", variants),
    "growth": ("How cost grows with the rows", growth),
    "threads": ("Threads", threads),
    "lengths": ("Tokens per second, by sequence length (a second epoch's time)", lengths),
}
