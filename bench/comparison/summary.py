"""Writes summary.md and the plots of a run, and the tables of README.md and the docs."""

import collections
import textwrap

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
RECORDED_SINCE = "2026-11-26, 08:30 UTC"  # of commit, command and machine in each line
# Costs in the docs' table, of the first data set that was measured; accuracy is shown for all.
DOCS_COSTS = [
    cost
    for cost in tables.COSTS
    if cost[0]
    in (
        "train, wall",
        "train, CPU",
        "train, peak memory",
        "predict, CPU",
        "start to the prediction for one text",
    )
]
CAVEATS = [
    "Times are from process start to exit; training ends with the model saved. A ratio is "
    "Trainyard's value divided by the baseline's in the same pair: the median, and the range over "
    "all pairs that both sides have. Bold: Trainyard is worse. Scores are means over the pairs, "
    "each with its own seed; intervals of 95 % come from 1,000 bootstrap samples of the test rows, "
    "the same for both sides. A score is bold only if its whole interval is a loss.",
    "Both sides have the flags of the case (`bench/comparison/cases.py`), no validation split and "
    "no report, unless a table says otherwise; `bag` and fastText have their own (below). Their "
    "random numbers differ, so neural networks end with different weights.",
    "After training, Trainyard scores rows and the baselines do not: `svm`, `nb` and `bag` all "
    f"training rows once, `bilstm` and `transformer` {TEST_ROWS} test rows. Training time "
    "includes this.",
    "scikit-learn's classifiers use one thread. fastText has dimension 10 (its default is 100), "
    "bigrams, a learning rate of 0.5, and texts in lower case without punctuation; the rest are "
    "its defaults: all words, 5 epochs. `bag` has terms of at least 2 rows, width 16, a learning "
    "rate of 0.05 and 5 epochs. The PyTorch baseline uses packed sequences and random batches, "
    "transformers' Trainer random batches, as users write them without tuning.",
    "OpenMP threads wait by spinning on both sides, which is the default. With packed sequences, "
    "sleeping takes twice the time, and on a busy machine spinning takes many times the CPU time "
    "(`OMP_WAIT_POLICY=passive` is for such a machine).",
]
# Sizes of the published data sets where they are larger than the files here; see data/README.md.
PUBLISHED = {"imdb": "25,000 and 25,000", "ag_news": "120,000 and 7,600"}


def machines(store, environment):
    """Returns the machines of all lines. Lines without one have that of environment.json."""
    noted = f"{environment['gpu'] or environment['cpu']}, {environment['cores']} cores"
    return " and ".join(sorted({line.get("machine", noted) for line in store.done.values()}))


def commits(store):
    """Returns the commits of all lines, with the number of lines of each."""
    seen = collections.Counter(line.get("commit") for line in store.done.values())
    none = seen.pop(None, 0)
    counts = [f"{name} ({count:,} lines)" for name, count in seen.items()]
    return ", ".join(
        counts + ([f"{none:,} lines from before {RECORDED_SINCE} have none"] if none else [])
    )


def load_warning(store, plan):
    """Returns a warning if the load was larger than the measured process's own threads explain."""
    loads = sorted(line["load"] for line in store.done.values())
    middle = loads[len(loads) // 2]
    return (
        []
        if middle <= plan.threads + 1
        else [
            "**The machine did other work "
            f"(median load {middle:.1f} on {plan.threads} threads): wall times are too long, "
            "most of all those of short processes. Compare CPU times: other work lengthens them "
            "too, but on both sides.**"
        ]
    )


def flags_line(case, device):
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


def row_counts(plan, data):
    """Returns the row counts of the data sets, and the cases that use fewer rows."""
    sampled = [
        f"{case.title}: at most {plan.train_rows(case):,} training and "
        f"{plan.test_rows(case):,} test rows of a data set"
        for case in plan.cases
        if plan.train_rows(case)
    ]
    counts = [
        f"{name} {data.count(name, 'train'):,} and {data.count(name, 'test'):,}"
        + (f" (of {PUBLISHED[name]} published)" if name in PUBLISHED else "")
        for name in plan.data_sets
    ]
    return [f"Training and test rows: {', '.join(counts)}."] + (
        [f"Sampled to save time: {'; '.join(sampled)}."] if sampled else []
    )


def summary(store, plan, data, environment, prices, date):
    loads = sorted(line["load"] for line in store.done.values())
    lines = [
        f"# Rust against Python, {date}",
        "",
        f"{machines(store, environment)}; {plan.threads} threads; "
        f"load {loads[0]:.1f} to {loads[-1]:.1f} over the run. "
        f"Commits: {commits(store)}.",
        "",
    ]
    lines += [environment["note"], ""] if environment.get("note") else []
    lines += [*load_warning(store, plan), "", *row_counts(plan, data), ""]
    lines += [f"- {caveat}" for caveat in CAVEATS]
    for case in plan.cases:
        lines += ["", f"## {case.title} against {case.baseline}", "", flags_line(case, plan.device)]
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
    images = cost.image_table(plan.cases, environment["images"])
    lines += ["", "## Images, unpacked", "", *images] if images else []
    paid = cost.cost_table(
        store, plan, plan.cases, environment["images"], prices, environment["gpu"]
    )
    if paid:
        device = "cpu" if plan.device == "cpu" else "cuda"
        lines += [
            "",
            "## This job on SageMaker",
            "",
            f"{prices['instance'][device]} in {prices['region']} "
            f"({prices['file']}: {prices['source']}), with the training time of this machine and "
            f"{prices['pull_bytes_per_second'] / 1e6:.0f} MB of image per second "
            f"({prices['pull_source']}). Waiting for an instance takes minutes on both sides and "
            "is not billed. Start-up is the time to the prediction for one text.",
            "",
            *paid,
        ]
    return "\n".join(lines) + "\n"


def plots(store, plan):
    """Returns {file name: SVG}."""
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


def write(folder, store, plan, data, environment, date):
    """Writes the tables and plots from raw.jsonl and environment.json; returns the tables."""
    text = summary(store, plan, data, environment, cost.newest("prices"), date)
    (folder / "summary.md").write_text(text)
    for name, plot in plots(store, plan).items():
        (folder / name).write_text(plot)
    return text


def docs_table(store, plan, data, folder):
    """Returns the accuracies and main costs of all cases, for the docs. `folder`: of the run."""
    about = f"`{folder}/summary.md` {contents(store, plan)} " + " ".join(
        [*row_counts(plan, data), *load_warning(store, plan)]
    )
    lines = [
        *textwrap.wrap(about, 100, break_long_words=False, break_on_hyphens=False),
        "",
        "A ratio is Trainyard's value divided by the baseline's. Bold: Trainyard is worse.",
        "",
    ]
    for case in plan.cases:
        rows = [
            row for name in plan.data_sets for row in tables.score_rows(store, plan, case, name)[:1]
        ]
        costs = (tables.cost_rows(store, plan, case, name, DOCS_COSTS) for name in plan.data_sets)
        rows += next((found for found in costs if found), [])
        if rows:
            lines += [*tables.head(case, "ratio or difference", "pairs"), *rows, ""]
    return lines


def readme_table(store, plan, data, link):
    """Returns one row for each case on the first data set that it was measured on, for README.md.

    `link`: path of the page with all results.
    """
    rows, sampled = [], collections.defaultdict(list)
    for case in plan.cases:
        found = (tables.headline(store, plan, case, name) for name in plan.data_sets)
        row = next(filter(None, found), None)
        if row:
            rows.append(row)
            if plan.train_rows(case):
                sampled[plan.train_rows(case)].append(case.trainer)
    if not rows:
        return []
    count = f"{data.count(plan.first, 'train'):,} training rows"
    if sampled:
        few = [f"{' and '.join(names)} {limit:,}" for limit, names in sampled.items()]
        count += f" ({', '.join(few)})"
    title = [
        "| Trainer | Python baseline | Accuracy (Python's) | Training time (Python's) "
        "| Peak memory (Python's) |",
        "|---|---|---|---|---|",
    ]
    return [
        *title,
        *rows,
        "",
        f"{tables.SET_NAMES.get(plan.first, plan.first)}, {count}, {plan.threads} threads. "
        "Bold: Trainyard is worse. "
        f"[All results]({link})",
        "",
    ]


def without_rows(store, plan):
    """Returns the sections of cases that should have a table and have none."""
    return [
        f"{section.name} of {case.name}"
        for case in plan.cases
        for section in plan.sections
        if section.turns(plan, case, 0) and not tables.TABLES[section.name][1](store, plan, case)
    ]


def contents(store, plan):
    """Returns a sentence about the tables of a run and the parts that are missing."""
    missing = without_rows(store, plan)
    there = [
        TITLES[section.name]
        for section in plan.sections
        if any(
            section.turns(plan, case, 0) and f"{section.name} of {case.name}" not in missing
            for case in plan.cases
        )
    ]
    chosen = [section.name for section in plan.sections]
    absent = [
        f"all of {case.name}"
        for case in CASES
        if case not in plan.cases and (plan.device == "cpu" or case.on_gpu)
    ]
    missing += [section.name for section in SECTIONS if section.name not in chosen] + absent
    there += ["image sizes and cost"] if plan.device == "cpu" else []
    return f"has {', '.join(there)}" + (
        f"; not measured: {', '.join(missing)}." if missing else "."
    )


def put_between_marks(text, lines):
    """Returns `text` with the lines between its marks, or None if it has no marks."""
    before, mark, rest = text.partition(START)
    _, end, after = rest.partition(END)
    return "\n".join([before + mark, "", *lines, end]) + after if mark and end else None
