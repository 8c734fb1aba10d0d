"""Markdown tables of raw.jsonl.

A ratio is Trainyard's value divided by the baseline's in the same pair. Bold: Trainyard is worse.
"""

import math
import statistics

from comparison.jobs import BASELINE, OURS
from comparison.scores import bootstrap, pair_ratios, unpacked
from measure import exponent

PLAIN = {"rows": None, "length": None, "epochs": None, "variant": ""}
# `floor_bytes` of older lines, measured with /bin/true on 2026-11-26 when Python started processes
# without bench/child.py.
OLD_FLOOR = 8_600_000
# Title, kind of job, field of its line, factor and unit.
COSTS = [
    ("train, wall", "train", "wall_seconds", 1, "s"),
    ("train, CPU", "train", "cpu_seconds", 1, "s"),
    ("train, peak memory", "train", "peak_bytes", 1e-6, "MB"),
    ("model", "train", "model_bytes", 1e-6, "MB"),
    ("predict, wall", "predict", "wall_seconds", 1, "s"),
    ("predict, CPU", "predict", "cpu_seconds", 1, "s"),
    ("predict, peak memory", "predict", "peak_bytes", 1e-6, "MB"),
    ("start to the prediction for one text", "one", "wall_seconds", 1000, "ms"),
]


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def times(ratio):
    """Formats a cost's ratio: below 1 as a fraction, above 1 in bold."""
    if f"{ratio:.2f}" == "1.00":
        return "1.00"
    return f"1/{1 / ratio:.3g}" if ratio < 1 else f"**{ratio:.2f}**"


def ranged(found, show):
    """Formats the median and range of `pair_ratios`."""
    middle, low, high = found
    return show(middle) if low == high else f"{show(middle)} ({show(low)} to {show(high)})"


def ratio_cell(found):
    return ranged(found, times) if found else ""


def speed_up(one, many):
    found = pair_ratios(one, many)
    return ranged(found, lambda ratio: f"{ratio:.2f}") if found else ""


def middle(values):
    return statistics.median(values.values())


def head(case, *columns):
    return [
        "| " + " | ".join(["", case.trainer, case.baseline, *columns]) + " |",
        "|---|---|---|" + "---|" * len(columns),
    ]


def fields_of(plan, case, data):
    return {"case": case.name, "data": data, "threads": plan.threads, **PLAIN}


def score_rows(store, plan, case, data):
    """Returns the rows of accuracy and macro-F1: means over the pairs with intervals of 95 %."""
    found = {}
    for side in (OURS, BASELINE):
        lines = store.lines(**fields_of(plan, case, data), what="predict", side=side)
        found[side] = {line["pair"]: line for line in lines if "predicted" in line}
    ours, baseline = (list(side.values()) for side in common(*found.values()))
    if not ours:
        return []
    answers = [
        [unpacked(line["predicted"], line["labels"]) for line in side] for side in (ours, baseline)
    ]
    intervals = bootstrap(unpacked(ours[0]["truth"], ours[0]["labels"]), *answers)
    rows = []
    for title, key in (("accuracy", "accuracy"), ("macro-F1", "macro_f1")):
        means = [statistics.fmean(line[key] for line in side) for side in (ours, baseline)]
        cells = [
            f"{mean:.4f} ({low:.4f} to {high:.4f})"
            for mean, side in zip(means, (OURS, BASELINE), strict=True)
            for low, high in [intervals[key, side]]
        ]
        low, high = (100 * bound for bound in intervals[key, "difference"])
        difference = f"{100 * (means[0] - means[1]):+.2f} points ({low:+.2f} to {high:+.2f})"
        # Bold only if the whole interval is a loss.
        difference = f"**{difference}**" if high < 0 else difference
        rows.append(f"| {data}: {title} | {cells[0]} | {cells[1]} | {difference} | {len(ours)} |")
    return rows


def common(*sides):
    """Returns each side with the pairs that all sides have."""
    pairs = set.intersection(*(set(side) for side in sides))
    return [{pair: side[pair] for pair in sorted(pairs)} for side in sides]


def near_floor(store, **fields):
    """Returns True if a peak is within a tenth of that of a program that does nothing."""
    return any(
        line["peak_bytes"] <= 1.1 * line.get("floor_bytes", OLD_FLOOR)
        for line in store.lines(**fields)
    )


def memory_cells(cells, ratio, values, near):
    """Returns cells and ratio; values near the floor are shown as an upper bound."""
    cells = [
        f"below {math.ceil(max(value.values()) / 1e6)} MB" if low else cell
        for cell, value, low in zip(cells, values, near)
    ]
    # Our bound is also a bound of the ratio; without the baseline's value there is no ratio.
    return [
        *cells,
        "not measurable"
        if near[1]
        else f"below {times(ratio[0]).strip('*')}"
        if near[0]
        else ratio_cell(ratio),
    ]


def cost_rows(store, plan, case, data, costs=COSTS):
    rows, fields = [], fields_of(plan, case, data)
    for title, what, key, factor, unit in costs:
        ours, baseline = common(*store.sides(key, **fields, what=what))
        if ours:
            cells, ratio = (
                [f"{number(factor * middle(side))} {unit}" for side in (ours, baseline)],
                pair_ratios(ours, baseline),
            )
            if key == "peak_bytes":
                near = [
                    near_floor(store, **fields, what=what, side=side) for side in (OURS, BASELINE)
                ]
                cells = memory_cells(cells, ratio, (ours, baseline), near)
            else:
                cells.append(ratio_cell(ratio))
            rows.append(f"| {data}: {title} | {' | '.join(cells)} | {len(ours)} |")
        if (what, key) == ("predict", "wall_seconds"):
            rows += rate_row(store, fields, data)
    return rows


def rate_row(store, fields, data):
    """Returns the row of test rows per second, after subtracting the time for one text."""
    every, one = (
        common(*store.sides("wall_seconds", **fields, what=what)) for what in ("predict", "one")
    )
    seconds = [
        {pair: side[pair] - start[pair] for pair in side if pair in start}
        for side, start in zip(every, one)
    ]
    if not seconds[0]:
        return []
    count = store.lines(**fields, what="predict")[0]["test_rows"]
    # The range of start-up times over the pairs, and at least a tenth of their median.
    noise = [max(max(start.values()) - min(start.values()), 0.1 * middle(start)) for start in one]
    significant = [min(side.values()) > least for side, least in zip(seconds, noise)]
    cells = [
        number(count / middle(side)) if is_significant else "too short to tell"
        for side, is_significant in zip(seconds, significant)
    ]
    ratio = ratio_cell(pair_ratios(*seconds)) if all(significant) else ""
    return [
        f"| {data}: predict, rows per second after start-up | {cells[0]} | {cells[1]} | {ratio} "
        f"| {len(seconds[0])} |"
    ]


SET_NAMES = {"imdb": "IMDB reviews", "ag_news": "AG News", "sms_spam": "SMS spam"}
# Cost of training in the README: field, factor, unit, and words for less and for more of it.
HEADLINES = [
    ("wall_seconds", 1, "s", "faster", "slower"),
    ("peak_bytes", 1e-6, "MB", "less", "more"),
]


def headline(store, plan, case, data):
    """Returns the README's row: accuracy, training time and memory on this data set.

    Returns None if something of it is not measured.
    """
    fields = fields_of(plan, case, data)
    scores = common(*store.sides("accuracy", **fields, what="predict"))
    if not scores[0]:
        return None
    ours, baseline = (statistics.fmean(side.values()) for side in scores)
    lost = score_rows(store, plan, case, data)[0].count("**") > 0
    score = f"**{ours:.3f}**" if lost else f"{ours:.3f}"
    name = f"`{case.trainer}`{case.title.removeprefix(case.trainer)}"
    name += "" if data == plan.first else f" on {SET_NAMES[data]}"
    cells = [name, case.baseline, f"{score} ({baseline:.3f})"]
    for key, factor, unit, less, more in HEADLINES:
        sides = common(*store.sides(key, **fields, what="train"))
        if not sides[0]:
            return None
        values = [f"{number(factor * middle(side))} {unit}" for side in sides]
        ratio = pair_ratios(*sides)[0]
        change = f"{1 / ratio:.2g}× {less}" if ratio <= 1 else f"**{ratio:.2g}× {more}**"
        cells.append(f"{values[0]} ({values[1]}), {change}")
    return f"| {' | '.join(cells)} |"


def whole(store, plan, case):
    rows = []
    for data in plan.data_sets:
        rows += score_rows(store, plan, case, data) + cost_rows(store, plan, case, data)
    return [*head(case, "ratio or difference", "pairs"), *rows] if rows else []


def variants(store, plan, case):
    rows = []
    for variant in case.variants:
        for data in [variant.data] if variant.data else plan.data_sets:
            fields = {"case": case.name, "variant": variant.name, "data": data}
            for line in store.lines(**fields, what="train"):
                scores = [
                    f"{found['accuracy']:.4f} | {found['macro_f1']:.4f}"
                    for found in store.lines(**fields, what="predict")
                ]
                rows.append(
                    f"| {variant.name} | {data} | {line['wall_seconds']:.3g} s "
                    f"| {line['cpu_seconds']:.3g} s | {line['peak_bytes'] / 1e6:.0f} MB "
                    f"| {(scores or [' | '])[0]} |"
                )
    title = [
        "| flags | data | wall | CPU | peak memory | accuracy | macro-F1 |",
        "|---|---|---|---|---|---|---|",
    ]
    return [*title, *rows] if rows else []


def growth_points(store, plan, case, side, key):
    """Returns (rows, median) of each size, in order."""
    points = []
    for rows in plan.growth(case):
        fields = fields_of(plan, case, plan.first) | {"rows": rows}
        values = store.by_pair(key, side=side, what="train", **fields)
        if values:
            points.append((plan.rows_of(case, rows), middle(values)))
    return points


def growth(store, plan, case):
    """Returns the costs by number of rows, and the exponents of their growth, start-up included."""
    keys = [("wall_seconds", 1, "s"), ("cpu_seconds", 1, "s"), ("peak_bytes", 1e-6, "MB")]
    columns = [
        growth_points(store, plan, case, side, key)
        for key, _, _ in keys
        for side in (OURS, BASELINE)
    ]
    if not all(len(points) > 1 for points in columns):
        return []
    units = [(factor, unit) for _, factor, unit in keys for _ in (OURS, BASELINE)]
    names = [
        f"{title}, {side}"
        for title in ("wall", "CPU", "peak memory")
        for side in (case.trainer, case.baseline)
    ]
    lines = ["| rows | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for size in sorted({rows for points in columns for rows, _ in points}):
        values = [dict(points).get(size) for points in columns]
        lines.append(
            f"| {size:,} | "
            + " | ".join(format_value(value, *unit) for value, unit in zip(values, units))
            + " |"
        )
    most = [max(points) for points in columns]
    made = plan.synthetic(case)
    synthetic = []
    if made:
        fields = fields_of(plan, case, "synthetic") | {"rows": made, "what": "train"}
        synthetic = [
            store.by_pair(key, side=side, **fields)
            for key, _, _ in keys
            for side in (OURS, BASELINE)
        ]
    if any(synthetic):
        cells = [
            format_value(middle(value) if value else None, *unit)
            for value, unit in zip(synthetic, units)
        ]
        lines.append(f"| {made:,}, synthetic | " + " | ".join(cells) + " |")
    lines.append(
        f"| exponent, up to {max(most)[0]:,} rows | "
        + " | ".join(f"{exponent(points):.2f}" for points in columns)
        + " |"
    )
    if any(synthetic):
        cells = [
            f"{exponent([point, (made, middle(value))]):.2f}" if value else "not measured"
            for point, value in zip(most, synthetic)
        ]
        lines.append(f"| exponent, from there to {made:,} | " + " | ".join(cells) + " |")
    return lines


def format_value(value, factor, unit):
    return "not measured" if value is None else f"{number(factor * value)} {unit}"


def threads(store, plan, case):
    row_count = plan.thread_rows(case)
    fields = fields_of(plan, case, plan.first) | {"rows": row_count, "what": "train"}
    keys = [
        ("wall_seconds", OURS),
        ("wall_seconds", BASELINE),
        ("cpu_seconds", OURS),
        ("cpu_seconds", BASELINE),
    ]
    one, many = (
        [store.by_pair(key, **fields | {"threads": count, "side": side}) for key, side in keys]
        for count in (1, plan.threads)
    )
    if not all(one + many):
        return []
    rows = [
        f"| {count} | "
        + " | ".join(f"{number(middle(values))} s" for values in columns)
        + " | "
        + " | ".join(faster)
        + " |"
        for count, columns, faster in (
            (1, one, ("", "")),
            (plan.threads, many, map(speed_up, one[:2], many[:2])),
        )
    ]
    title = [
        f"| threads ({row_count:,} rows) | wall, {case.trainer} | wall, {case.baseline} "
        f"| CPU, {case.trainer} | CPU, {case.baseline} "
        f"| speed-up, {case.trainer} | speed-up, {case.baseline} |",
        "|---|---|---|---|---|---|---|",
    ]
    weights = [
        store.by_pair("weights", **fields | {"threads": count, "side": OURS})
        for count in (1, plan.threads)
    ]
    both = weights[0].keys() & weights[1].keys()
    same = all(weights[0][pair] == weights[1][pair] for pair in both)
    equal = "byte-identical" if same else "**not byte-identical**"
    weights_line = f"Weights of {case.trainer} on 1 and {plan.threads} threads: {equal}."
    return [*title, *rows, *(["", weights_line] if both else [])]


def token_seconds(store, plan, case, side, length):
    """Returns the seconds per token of a second epoch for each pair.

    A pair has None if two epochs took no longer than one.
    """
    rows = plan.length_rows(length)
    fields = fields_of(plan, case, "long") | {
        "rows": rows,
        "length": length,
        "what": "train",
        "side": side,
    }
    one, two = common(
        *(store.by_pair("wall_seconds", **fields | {"epochs": epochs}) for epochs in (1, 2))
    )
    return {
        pair: (two[pair] - one[pair]) / (rows * length) if two[pair] > one[pair] else None
        for pair in one
    }


def measurable(seconds):
    return {pair: value for pair, value in seconds.items() if value}


def length_points(store, plan, case, side):
    """Returns (length, tokens per second) of each length."""
    found = [
        (length, measurable(token_seconds(store, plan, case, side, length)))
        for length in plan.lengths(case)
    ]
    return [(length, 1 / middle(seconds)) for length, seconds in found if seconds]


def length_cell(seconds):
    values = measurable(seconds)
    lost = (
        ""
        if len(values) == len(seconds)
        else f" ({len(seconds) - len(values)} of {len(seconds)} pairs not measurable)"
    )
    return f"{number(1 / middle(values))}{lost}" if values else "not measurable"


def lengths(store, plan, case):
    rows = []
    for length in plan.lengths(case):
        sides = common(
            *(token_seconds(store, plan, case, side, length) for side in (OURS, BASELINE))
        )
        if sides[0]:
            ours, baseline = map(length_cell, sides)
            ratio = ratio_cell(pair_ratios(*map(measurable, sides))) or "not measurable"
            rows.append(f"| {length} | {ours} | {baseline} | {ratio} | {len(sides[0])} |")
    title = [
        f"| tokens of a row | tokens per second, {case.trainer} | {case.baseline} "
        "| time per token, ratio | pairs |",
        "|---|---|---|---|---|",
    ]
    return [*title, *rows] if rows else []


TABLES = {
    "whole": ("Train and predict", whole),
    "variants": ("Other flags, Trainyard only", variants),
    "growth": ("How cost grows with the rows (start-up included)", growth),
    "threads": ("Threads", threads),
    "lengths": ("Tokens per second, by sequence length (a second epoch's time)", lengths),
}
