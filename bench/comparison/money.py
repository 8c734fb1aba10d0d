"""What a training job costs on SageMaker, and how large images are; prices and sizes stand in dated files beside bench/compare."""

import json
import pathlib

from measure import size

from comparison.jobs import OURS, TWIN
from comparison.tables import fields_of, middle, times

BENCH = pathlib.Path(__file__).resolve().parents[1]


class BadTable(Exception):
    """A file of prices or images that cannot be used; the text names it."""


def newest(kind):
    """The newest dated file of a kind, and its name."""
    found = sorted(BENCH.glob(f"{kind}-????-??-??.json"))
    if not found:
        raise BadTable(f"no `bench/{kind}-<date>.json`; help: git checkout bench")
    try:
        return json.loads(found[-1].read_text(encoding="utf-8")) | {"file": found[-1].name}
    except ValueError as error:
        raise BadTable(f"`bench/{found[-1].name}` is no JSON object: {error}; help: correct it") from error


def image_sizes(contests, tools, device):
    """Unpacked bytes of each side's image: {contest: {side: {bytes, source}}}.

    Ours as the launcher builds it: the binary alone where that is static. The twin's: Amazon's image for it where its size is
    known, else its installed packages, which any image of it holds at least.
    """
    known, sizes = newest("images"), {}
    for contest in contests:
        official = known["official"].get(contest.official[device != "cpu"])
        binary = {"bytes": size(tools.binary(contest.trainer)), "source": "the binary"}
        sizes[contest.name] = {
            OURS: known["ours"].get(contest.trainer, binary),
            TWIN: official or {"bytes": size(tools.python(contest).parents[1] / "lib"), "source": "its Python packages alone"},
        }
    return sizes


def image_table(contests, sizes):
    rows = ["| | image of ours | of the twin | ratio | the twin's is |", "|---|---|---|---|---|"]
    for contest in contests:
        ours, twin = (sizes[contest.name][side]["bytes"] for side in (OURS, TWIN))
        rows.append(f"| {contest.title} | {ours / 1e6:,.0f} MB | {twin / 1e6:,.0f} MB | {times(ours / twin)} | "
                    f"{sizes[contest.name][TWIN]['source']} |")
    return rows


def job(image_bytes, training_seconds, prices, device):
    """Seconds of pulling and of the training process (its start-up included), and dollars for both.

    Both are billed: the time between TrainingStartTime and TrainingEndTime, in which the image is pulled, is what
    DescribeTrainingJob calls billable. Finding an instance comes before, takes minutes, and costs nothing.
    """
    pull = image_bytes / prices["pull_bytes_per_second"]
    price = prices["usd_per_hour"][prices["instance"][device]]
    return pull, training_seconds, (pull + training_seconds) * price / 3600


def money_table(store, plan, contests, sizes, prices):
    device = "cpu" if plan.device == "cpu" else "cuda"
    rows = ["| | | image pull | start and training | USD for 1,000 jobs | ratio |", "|---|---|---|---|---|---|"]
    for contest in contests:
        fields = fields_of(plan, contest, plan.first) | {"what": "train"}
        seconds = store.sides("wall_seconds", **fields)
        if not all(seconds):
            continue
        jobs = [job(sizes[contest.name][side]["bytes"], middle(times_of), prices, device)
                for side, times_of in zip((OURS, TWIN), seconds)]
        for name, (pull, training, usd), ratio in zip((contest.title, contest.twin), jobs, (times(jobs[0][2] / jobs[1][2]), "")):
            rows.append(f"| {name} | {plan.first}, {plan.rows_of(contest, None):,} rows | {pull:.1f} s | {training:.1f} s | "
                        f"{1000 * usd:.2f} | {ratio} |")
    return rows if len(rows) > 2 else []
