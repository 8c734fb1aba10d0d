"""The cost of a training job on SageMaker and the sizes of images, from dated files in bench/."""

import json
import pathlib
import statistics

from comparison.jobs import BASELINE, OURS
from comparison.scores import pair_ratios
from comparison.tables import common, fields_of, middle, number, ratio_cell, times
from measure import size

# GPUs of the instances: https://aws.amazon.com/ec2/instance-types/, accelerated computing.
CARDS = {
    "ml.p3": "V100",
    "ml.g4dn": "T4",
    "ml.g5": "A10G",
    "ml.g6": "L4",
    "ml.p4d": "A100",
    "ml.p5": "H100",
    "ml.p5en": "H200",
}
BENCH = pathlib.Path(__file__).resolve().parents[1]


class DataFileError(Exception):
    """A data file that cannot be used. The message names it."""


def newest(kind):
    """Returns the content of the newest dated file of a kind, and its name as `file`."""
    found = sorted(BENCH.glob(f"{kind}-????-??-??.json"))
    if not found:
        raise DataFileError(f"no `bench/{kind}-<date>.json`; help: git checkout bench")
    try:
        return json.loads(found[-1].read_text(encoding="utf-8")) | {"file": found[-1].name}
    except ValueError as error:
        raise DataFileError(
            f"`bench/{found[-1].name}` is no JSON object: {error}; help: correct it"
        ) from error


def image_sizes(cases, tools, device):
    """Returns the unpacked bytes of each side's image: {case: {side: {bytes, source}}}.

    The trainer's image is the launcher's: a static binary alone, or with libtorch. For GPUs its
    size is in the data file. The baseline's image is Amazon's if its size is known, else the size
    of its installed packages, a lower bound. Cases without a known size are left out.
    """
    known, sizes = newest("images"), {}
    for case in cases:
        official = known["official"].get(case.official[device != "cpu"])
        if device == "cpu":
            binary = {"bytes": size(tools.binary(case.trainer)), "source": "the binary"}
            ours = known["ours"].get(case.trainer, binary)
        else:
            ours = known["ours_on_gpu"].get(case.trainer)
        # A Python given by the user may have more packages than the baseline needs.
        if not ours or (tools.interpreter and not official):
            continue
        sizes[case.name] = {
            OURS: ours,
            BASELINE: official
            or {
                "bytes": size(tools.python(case).parents[1] / "lib"),
                "source": "its Python packages alone",
            },
        }
    return sizes


def image_table(cases, sizes):
    rows = [
        "| | trainer's image | baseline's image | ratio | size of the baseline's |",
        "|---|---|---|---|---|",
    ]
    for case in cases:
        if case.name not in sizes:
            continue
        ours, baseline = (sizes[case.name][side]["bytes"] for side in (OURS, BASELINE))
        rows.append(
            f"| {case.title} | {ours / 1e6:,.0f} MB | {baseline / 1e6:,.0f} MB "
            f"| {times(ours / baseline)} | "
            f"{sizes[case.name][BASELINE]['source']} |"
        )
    return rows if len(rows) > 2 else []


def job(image_bytes, training_seconds, prices, device):
    """Returns seconds of pulling, seconds of training with start-up, and dollars for both.

    Both are billed: BillableTimeInSeconds of DescribeTrainingJob is the time from TrainingStartTime
    to TrainingEndTime, and the image is pulled in it. Waiting for an instance is not billed.
    """
    pull = image_bytes / prices["pull_bytes_per_second"]
    price = prices["usd_per_hour"][prices["instance"][device]]
    return pull, training_seconds, (pull + training_seconds) * price / 3600


def priced(device, prices, gpu):
    """Returns True if times measured here apply to the priced instance: it has the same GPU."""
    family = prices["instance"][device].rpartition(".")[0]
    return device == "cpu" or CARDS.get(family, "no card") in gpu


def cost_table(store, plan, cases, sizes, prices, gpu=""):
    device = "cpu" if plan.device == "cpu" else "cuda"
    rows = [
        "| | | image pull | start-up | training without it | USD for 1,000 jobs | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in cases if priced(device, prices, gpu) else ():
        fields = fields_of(plan, case, plan.first)
        seconds = common(*store.sides("wall_seconds", what="train", **fields))
        if not seconds[0] or case.name not in sizes:
            continue
        jobs = [
            {
                pair: job(sizes[case.name][side]["bytes"], taken, prices, device)
                for pair, taken in times_of.items()
            }
            for side, times_of in zip((OURS, BASELINE), seconds)
        ]
        usd = [{pair: found[2] for pair, found in side.items()} for side in jobs]
        starts = store.sides("wall_seconds", what="one", **fields)
        for name, side, cost, start, ratio in zip(
            (case.title, case.baseline), jobs, usd, starts, (ratio_cell(pair_ratios(*usd)), "")
        ):
            pull, training = (
                statistics.median(found[part] for found in side.values()) for part in (0, 1)
            )
            start = middle(start) if start else None
            rest = (
                [f"{number(start)} s", f"{max(training - start, 0):.1f} s"]
                if start
                else ["not measured", f"{training:.1f} s with it"]
            )
            rows.append(
                f"| {name} | {plan.first}, {plan.rows_of(case, None):,} rows | {pull:.1f} s "
                f"| {' | '.join(rest)} | "
                f"{1000 * middle(cost):.2f} | {ratio} |"
            )
    return rows if len(rows) > 2 else []
