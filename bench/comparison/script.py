"""What bench/compare_bilstm.py and bench/compare_transformer.py share: rows, turns, timing by what is said, rows with bars."""

import datetime
import json
import os
import re
import statistics
import subprocess
import time

from comparison.rows import read, write
from comparison.scores import pair_ratios
from measure import ROOT, commit, cpu_model, load, memory_bytes


def every_nth(source, target, count):
    """So many rows of a file that may be sorted by label."""
    head, *rows = read(source)
    write(target, head, rows[:: max(len(rows) // count, 1)][:count])
    return target


def in_turn(sides, pair):
    """Who goes first changes from pair to pair."""
    return sides if pair % 2 == 0 else sides[::-1]


def heard(command, *patterns):
    """Seconds from the start of the process until it said each of these on standard error; it is ended after the last."""
    began, found, wanted = time.perf_counter(), [], list(patterns)
    command = [str(part) for part in command]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as child:
        for line in child.stderr:
            if re.search(wanted[0], line):
                found.append(time.perf_counter() - began)
                del wanted[0]
            if not wanted:
                child.kill()
                return found
    raise SystemExit(f"error: `{wanted[0]}` is not in what `{command[0]}` said")


FIRST_STEP = r"\bstep 1\b|first step"  # ours, the baselines


class Table:
    """Rows of two sides with the ratio of each pair, and bars that the median has to meet."""

    def __init__(self, ours, baseline, strict):
        """`strict`: bars are held against what was found; a smoke test finds nothing that means something."""
        self.head = [f"| | {ours} | {baseline} | ratio | bar |", "|---|---|---|---|---|"]
        self.strict, self.missed = strict, []

    def row(self, title, ours, baseline, unit, scale=1, most=None):
        """`ours` and `baseline` are values by pair; `most`: the largest ratio that meets the bar."""
        middle, low, high = pair_ratios(ours, baseline)
        ratio = f"{middle:.3f}" if low == high else f"{middle:.3f} ({low:.3f} to {high:.3f})"
        cells = [
            f"{statistics.median(side.values()) * scale:.4g} {unit}" for side in (ours, baseline)
        ]
        return f"| {title} | {cells[0]} | {cells[1]} | {ratio} | {self.bar(title, middle, most)} |"

    def bar(self, title, ratio, most):
        if most is None or not self.strict:
            return ""
        if ratio <= most:
            return f"{most:.3g}, met"
        self.missed.append(f"{title}: {ratio:.3f}, at most {most:.3g} was the aim")
        return f"**{most:.3g}, missed**"

    def accuracy(self, title, ours, baseline, least):
        """`least`: how far ours may be below."""
        if self.strict and ours - baseline < least:
            self.missed.append(f"{title}: {ours - baseline:+.4f}, at least {least:+g} was the aim")


def facts_of(threads):
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "memory_bytes": memory_bytes(),
        "commit": commit(),
        "load_before": load(),
    }


def folder_of(label, facts, suffix):
    label = re.sub(r"[^a-z0-9]+", "-", (label or facts["cpu"]).lower()).strip("-")
    return ROOT / "bench/runs" / f"{datetime.date.today().isoformat()}-{label}-{suffix}"


def keep(target, lines, facts):
    target.mkdir(parents=True, exist_ok=True)
    (target / "summary.md").write_text("\n".join(lines), encoding="utf-8")
    (target / "environment.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(f"written to {target.relative_to(ROOT)}")


def exit_code(missed):
    for what in missed:
        print(f"bar missed: {what}")
    return 1 if missed else 0
