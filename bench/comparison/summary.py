"""The results' folder: summary.md, environment.json and plots; and the README's table."""

import collections

from comparison import cost, svg, tables
from comparison.cases import CASES, TEST_ROWS
from comparison.jobs import BASELINE, OURS
from comparison.sections import SECTIONS

START, END = "<!-- compare -->", "<!-- /compare -->"
TITLES = {
    "whole": "all costs and scores with their intervals",
    "variants": "other flags",
    "growth": "growth with the rows",
    "threads": "threads",
    "lengths": "speed by length",
}
NOTED_SINCE = "2026-11-26, 08:30 UTC"  # lines have their commit, command and machine
# What the README shows of the first data set that was measured, beside the accuracy on all.
README_COSTS = [
    cost
    for cost in tables.COSTS
    if cost[0]
    in (
        "train, wall",
        "train, CPU",
        "train, peak memory",
        "predict, CPU",
        "start to the answer for one text",
    )
]
CAVEATS = [
    "Times are from process start to exit: a training run ends with its model saved. Ratios are ours / baseline within a pair, their "
    "median and range over the pairs that both sides have; a cost that is more than the baseline's is bold. Scores are means "
    "of the pairs, each of which has a seed of its own, intervals of 95 % by 1,000 bootstrap draws of the test rows, the same for both "
    "sides; a difference is bold only where all of its interval is a loss.",
    "Both sides have the flags that each case names (`bench/comparison/cases.py`), no validation split and no report, unless "
    "a table says otherwise; `bag` and fastText have their own (below). Random numbers are not the same ones, so networks end with "
    "other weights.",
    "After training, ours scores rows, the baselines none: `svm` and `bag` all training rows once, `bilstm` and `transformer` "
    f"{TEST_ROWS} rows that they are given for it. It is in ours' training time.",
    "scikit-learn's classifiers use one thread. fastText has dim 10 (its default is 100), bigrams, a learning rate of 0.5 and texts "
    "that are lower-cased and rid of punctuation, else its defaults: all words, 5 epochs. `bag` has its own: terms of 2 rows or more, "
    "width 16, a learning rate of 0.05, 5 epochs. The PyTorch baseline uses packed sequences and random batches, transformers' Trainer "
    "random batches: what one writes without tuning.",
    "OpenMP's threads wait by spinning, its default, on both sides: packed sequences take twice the time where they sleep, and many times "
    "the CPU time where a busy machine lets them spin (`OMP_WAIT_POLICY=passive` is for that one).",
]
# Rows of what is published, where that is more: data/README.md and the papers named there.
PUBLISHED = {"imdb": "25,000 and 25,000", "ag_news": "120,000 and 7,600"}


def machines_said(store, facts):
    """Those of the lines; of lines that have none, the one that was noted beside them."""
    noted = f"{facts['gpu'] or facts['cpu']}, {facts['cores']} cores"
    return " and ".join(sorted({line.get("machine", noted) for line in store.done.values()}))


def commits_said(store):
    """Every commit that lines are of."""
    seen = collections.Counter(line.get("commit") for line in store.done.values())
    none = seen.pop(None, 0)
    said = [f"{name} ({count:,} lines)" for name, count in seen.items()]
    return ", ".join(
        said + ([f"{none:,} lines from before {NOTED_SINCE} name none"] if none else [])
    )


def load_said(store, plan):
    """A warning where more processes wanted to run than a quiet machine has of them: the measured one's threads."""
    loads = sorted(line["load"] for line in store.done.values())
    middle = loads[len(loads) // 2]
    return (
        []
        if middle <= plan.threads + 1
        else [
            f"**The machine did other work (median load {middle:.1f} on {plan.threads} threads): wall times are too long, those of short "
            "processes most, and their ratios say little; compare CPU times, which other work lengthens too, but for both sides.**"
        ]
    )


def flags_said(case, device):
    ours = case.ours + (case.ours_on_gpu if device != "cpu" else ())
    return "Flags of " + "; of ".join(
        f"{whose}: `{' '.join(flags)}`"
        for whose, flags in (
            ("both", case.both),
            (case.trainer, ours),
            (case.baseline, case.theirs),
        )
        if flags
    )


def rows_said(plan, data):
    """How many rows each case learns from where that is not all of them."""
    said = [
        f"{case.title}: at most {plan.train_rows(case):,} training and {plan.test_rows(case):,} test rows of a data set"
        for case in plan.cases
        if plan.train_rows(case)
    ]
    counts = [
        f"{name} {data.count(name, 'train'):,} and {data.count(name, 'test'):,}"
        + (f" (a part: published are {PUBLISHED[name]})" if name in PUBLISHED else "")
        for name in plan.data_sets
    ]
    return [f"Training and test rows: {', '.join(counts)}."] + (
        [f"Sampled, for the time it takes: {'; '.join(said)}."] if said else []
    )


def summary(store, plan, data, facts, prices, date):
    loads = sorted(line["load"] for line in store.done.values())
    lines = [
        f"# Rust against Python, {date}",
        "",
        f"{machines_said(store, facts)}; {plan.threads} threads; load {loads[0]:.1f} to {loads[-1]:.1f} over the run. "
        f"Commits: {commits_said(store)}.",
        "",
    ]
    lines += [facts["note"], ""] if facts.get("note") else []
    lines += [*load_said(store, plan), "", *rows_said(plan, data), ""]
    lines += [f"- {caveat}" for caveat in CAVEATS]
    for case in plan.cases:
        lines += [
            "",
            f"## {case.title} against {case.baseline}",
            "",
            flags_said(case, plan.device),
        ]
        if case.epochs:
            lines[-1] += "; epochs: " + ", ".join(
                f"{case.epochs_of(name, plan.kind)} on {name}" for name in plan.data_sets
            )
        for name, (title, make) in tables.TABLES.items():
            made = (
                make(store, plan, case)
                if any(section.name == name for section in plan.sections)
                else []
            )
            lines += ["", f"### {title}", "", *made] if made else []
    images = cost.image_table(plan.cases, facts["images"])
    lines += ["", "## Images, unpacked", "", *images] if images else []
    paid = cost.cost_table(store, plan, plan.cases, facts["images"], prices, facts["gpu"])
    if paid:
        device = "cpu" if plan.device == "cpu" else "cuda"
        lines += [
            "",
            "## This job on SageMaker",
            "",
            f"{prices['instance'][device]} in {prices['region']} ({prices['file']}: {prices['source']}); training takes what it took "
            f"on this machine; {prices['pull_bytes_per_second'] / 1e6:.0f} MB of image per second ({prices['pull_source']}). "
            "Minutes for an instance to be found come before, for both, and are not billed. Start-up is the time to the answer for one "
            "text.",
            "",
            *paid,
        ]
    return "\n".join(lines) + "\n"


def plots(store, plan):
    """File name to SVG."""
    sides = [
        (case, side, number) for number, case in enumerate(plan.cases) for side in (OURS, BASELINE)
    ]

    def lines(points):
        return [
            (
                case.title if side == OURS else case.baseline,
                side == BASELINE,
                number,
                points(case, side),
            )
            for case, side, number in sides
        ]

    found = {
        f"growth-{file}.svg": svg.plot(
            f"Training on {plan.first}: {title}",
            "rows",
            unit,
            lines(
                lambda case, side, key=key, factor=factor: [
                    (rows, factor * value)
                    for rows, value in tables.growth_points(store, plan, case, side, key)
                ]
            ),
        )
        for file, title, key, factor, unit in [
            ("wall", "wall time", "wall_seconds", 1, "s"),
            ("memory", "peak memory", "peak_bytes", 1e-6, "MB"),
        ]
    }
    found["lengths.svg"] = svg.plot(
        "Training speed by sequence length",
        "tokens of a row",
        "tokens/s",
        lines(lambda case, side: tables.length_points(store, plan, case, side)),
    )
    return {name: plot for name, plot in found.items() if plot}


def write(folder, store, plan, data, facts, date):
    """The tables and plots, made anew from raw.jsonl and environment.json."""
    text = summary(store, plan, data, facts, cost.newest("prices"), date)
    (folder / "summary.md").write_text(text)
    for name, plot in plots(store, plan).items():
        (folder / name).write_text(plot)
    return text


def readme_table(store, plan, data, folder):
    """The newest results in short, for between the marks in README.md."""
    lines = [
        f"[{folder}]({folder}/summary.md) {tables_said(store, plan)} "
        + " ".join([*rows_said(plan, data), *load_said(store, plan)]),
        "",
    ]
    for case in plan.cases:
        rows = [
            row for name in plan.data_sets for row in tables.score_rows(store, plan, case, name)[:1]
        ]
        costs = (tables.cost_rows(store, plan, case, name, README_COSTS) for name in plan.data_sets)
        rows += next((found for found in costs if found), [])
        if rows:
            lines += [*tables.head(case, "ratio or difference", "pairs"), *rows, ""]
    return lines


def without_rows(store, plan):
    """Sections that a case has turns of, and no table."""
    return [
        f"{section.name} of {case.name}"
        for case in plan.cases
        for section in plan.sections
        if section.turns(plan, case, 0) and not tables.TABLES[section.name][1](store, plan, case)
    ]


def tables_said(store, plan):
    """Which tables there are, and which parts of a whole run are not."""
    missing = without_rows(store, plan)
    there = [
        TITLES[section.name]
        for section in plan.sections
        if any(
            section.turns(plan, case, 0) and f"{section.name} of {case.name}" not in missing
            for case in plan.cases
        )
    ]
    asked = [section.name for section in plan.sections]
    absent = [
        f"all of {case.name}"
        for case in CASES
        if case not in plan.cases and (plan.device == "cpu" or case.on_gpu)
    ]
    missing += [section.name for section in SECTIONS if section.name not in asked] + absent
    there += ["images and cost"] if plan.device == "cpu" else []
    return f"has {', '.join(there)}" + (
        f"; not measured: {', '.join(missing)}." if missing else "."
    )


def put_into_readme(text, lines):
    """README.md with the lines between its marks; None if it has none."""
    before, mark, rest = text.partition(START)
    _, end, after = rest.partition(END)
    return "\n".join([before + mark, "", *lines, end]) + after if mark and end else None
