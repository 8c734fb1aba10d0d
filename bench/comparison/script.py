"""Shared code of bench/compare_bilstm.py and bench/compare_transformer.py."""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import time

from comparison.rows import read, write
from comparison.scores import pair_ratios
from measure import ROOT, commit, cpu_model, load, memory_bytes


def argument_parser(text, data, trainer):
    """Returns a parser with the options of both scripts. `data`: contents of the folder --data."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument(
        "--data", type=pathlib.Path, default=ROOT.parent / "shared/data", help=f"folder with {data}"
    )
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of both sides"
    )
    parser.add_argument(
        "--machine", help="machine's name in the folder of results [default: CPU model]"
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="test it in a minute on data/movie.csv; the results are not kept",
    )
    parser.add_argument(
        f"--{trainer}", type=pathlib.Path, help="binary to measure [default: built by cargo]"
    )
    return parser


def parse(parser):
    """Returns the arguments. Exits with an error if the data is missing."""
    args = parser.parse_args()
    if args.smoke:
        args.pairs = 1
    elif not (args.data / "imdb/train.csv").is_file():
        parser.error(
            "no imdb/train.csv below --data\n"
            "help: get it as data/README.md describes, or try --smoke"
        )
    return args


def every_nth(source, target, count):
    """Writes `count` evenly spaced rows of a file that may be sorted by label."""
    head, *rows = read(source)
    write(target, head, rows[:: max(len(rows) // count, 1)][:count])
    return target


def alternate(sides, pair):
    """Returns the sides in the order of a pair: the first one alternates."""
    return sides if pair % 2 == 0 else sides[::-1]


def seconds_until(command, *patterns):
    """Returns the seconds from process start until each pattern appeared on stderr.

    The process is killed after the last pattern.
    """
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
    raise SystemExit(f"error: `{command[0]}` did not print `{wanted[0]}` on stderr")


FIRST_STEP = r"\bstep 1\b|first step"  # ours, the baselines


class Table:
    """Rows of two sides with the ratio of each pair, and targets for the median ratio."""

    def __init__(self, ours, baseline, strict):
        """`strict`: check the targets. The numbers of a smoke test mean nothing."""
        self.head = [f"| | {ours} | {baseline} | ratio | target |", "|---|---|---|---|---|"]
        self.strict, self.missed = strict, []

    def row(self, title, ours, baseline, unit, scale=1, max_ratio=None):
        """Returns a row. `ours`, `baseline`: values by pair; `max_ratio`: a target."""
        middle, low, high = pair_ratios(ours, baseline)
        ratio = f"{middle:.3f}" if low == high else f"{middle:.3f} ({low:.3f} to {high:.3f})"
        cells = [
            f"{statistics.median(side.values()) * scale:.4g} {unit}" for side in (ours, baseline)
        ]
        target = self.target(title, middle, max_ratio)
        return f"| {title} | {cells[0]} | {cells[1]} | {ratio} | {target} |"

    def target(self, title, ratio, max_ratio):
        if max_ratio is None or not self.strict:
            return ""
        if ratio <= max_ratio:
            return f"{max_ratio:.3g}, met"
        self.missed.append(f"{title}: {ratio:.3f}, expected at most {max_ratio:.3g}")
        return f"**{max_ratio:.3g}, missed**"

    def accuracy(self, title, ours, baseline, least):
        """Checks the difference of accuracies. `least`: the lowest allowed one."""
        if self.strict and ours - baseline < least:
            self.missed.append(f"{title}: {ours - baseline:+.4f}, expected at least {least:+g}")


def machine_info(threads):
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "memory_bytes": memory_bytes(),
        "commit": commit(),
        "load_before": load(),
    }


def write_results(target, lines, environment):
    target.mkdir(parents=True, exist_ok=True)
    (target / "summary.md").write_text("\n".join(lines), encoding="utf-8")
    (target / "environment.json").write_text(
        json.dumps(environment, indent=2) + "\n", encoding="utf-8"
    )
    print(f"written to {target}")


def finish(args, target, lines, environment, missed):
    """Prints the results and writes them, except with --smoke. Returns the exit code."""
    print("\n" + "\n".join(lines))
    if not args.smoke:
        write_results(target, lines, environment)
    return exit_code(missed)


def exit_code(missed):
    for what in missed:
        print(f"target missed: {what}")
    return 1 if missed else 0
