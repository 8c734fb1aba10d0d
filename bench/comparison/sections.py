"""The sections of a comparison: each returns its turns."""

import dataclasses
from collections.abc import Callable

from comparison.jobs import OURS, Job, Turn, turn


@dataclasses.dataclass(frozen=True)
class Section:
    name: str
    turns: Callable  # (plan, case, pair) -> turns


def whole(plan, case, pair):
    """Trains, predicts the test rows, and predicts one text (start-up), on each data set."""
    return [
        turn(
            ("train", "predict", "one"), case=case.name, data=data, pair=pair, threads=plan.threads
        )
        for data in plan.data_sets
    ]


def variants(plan, case, pair):
    """Runs the trainer once with flags that no baseline has, and with its default flags."""
    found = []
    for variant in case.variants if pair == 0 else ():
        whats = ("train", "predict") if variant.predicts else ("train",)
        for data in [variant.data] if variant.data else plan.data_sets:
            found.append(
                Turn(
                    [
                        Job(case.name, OURS, what, data, pair, plan.threads, variant=variant.name)
                        for what in whats
                    ]
                )
            )
    return found


def growth(plan, case, pair):
    fields = {"case": case.name, "pair": pair, "threads": plan.threads}
    found = [turn(("train",), data=plan.first, rows=rows, **fields) for rows in plan.growth(case)]
    if plan.synthetic(case) and pair == 0:
        found.append(turn(("train",), data="synthetic", rows=plan.synthetic(case), **fields))
    return found


def threads(plan, case, pair):
    """Trains on one thread and on all threads in the same turn."""
    if plan.threads == 1 or plan.device != "cpu":
        return []
    fields = {"case": case.name, "pair": pair, "data": plan.first, "rows": plan.thread_rows(case)}
    both = [turn(("train",), threads=count, **fields) for count in (1, plan.threads)]
    return [Turn([job for one in both for job in one.jobs])]


def lengths(plan, case, pair):
    """Trains for one epoch and for two, one turn for each length."""
    found = []
    for length in plan.lengths(case):
        fields = {"case": case.name, "data": "long", "pair": pair, "threads": plan.threads}
        fields |= {"rows": plan.length_rows(length), "length": length}
        both = [turn(("train",), epochs=epochs, **fields) for epochs in (1, 2)]
        found.append(Turn([job for one in both for job in one.jobs]))
    return found


SECTIONS = [
    Section(function.__name__, function) for function in (whole, variants, growth, threads, lengths)
]
