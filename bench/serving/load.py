"""Load by oha, and the comparison of the servers' answers."""

import json
import subprocess

from measure import Failed, shell
from serving.server import ROUTE, post

OHA_VERSION = "1.16.0"
# Ends requests that are in progress at the end of the time.
DEADLINE = "aborted due to deadline"
COMPARED = 20
# Largest difference of probabilities: pipelines of Python compute in another order.
SCORE_TOLERANCE = 1e-3


def oha():
    """Returns the path of oha, which is compiled once."""
    return shell('. tests/tools.sh; cargo_tool oha "$1" --profile release', OHA_VERSION)


def run(program, port, bodies, connections, seconds):
    """Sends requests for some seconds. Returns requests per second, p50 and p99 in seconds."""
    command = [program, "--no-tui", "--output-format", "json", "-z", f"{seconds}s"]
    command += ["-c", str(connections), "-m", "POST", "-T", "application/json"]
    command += ["-Z", str(bodies), f"http://127.0.0.1:{port}{ROUTE}"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return figures(json.loads(printed))


def figures(document):
    """Reads oha's document. Raises Failed if a request failed."""
    statuses, errors = document["statusCodeDistribution"], document["errorDistribution"]
    failed = {name: count for name, count in errors.items() if name != DEADLINE}
    if failed or set(statuses) != {"200"}:
        raise Failed(f"requests failed: {statuses} {failed}")
    percentiles = document["latencyPercentiles"]
    return {
        "requests_per_second": statuses["200"] / document["summary"]["total"],
        "p50_seconds": percentiles["p50"],
        "p99_seconds": percentiles["p99"],
    }


def answers(port, bodies):
    """Returns label and score of the first bodies."""
    with open(bodies, encoding="utf-8") as file:
        lines = [line for line, _ in zip(file, range(COMPARED))]
    found = []
    for line in lines:
        status, body = post(port, line.encode())
        if status != 200:
            raise Failed(f"status {status}: {body[:500]!r}")
        (answer,) = json.loads(body)
        found.append((answer["label"], answer["score"]))
    return found


def compare(ours, theirs):
    """Raises Failed if two servers of the same weights disagree."""
    for (label, score), (other, other_score) in zip(ours, theirs, strict=True):
        # Where the classes are equally likely, the label may be another one.
        undecided = max(score, other_score) < 0.5 + SCORE_TOLERANCE
        if (label != other and not undecided) or abs(score - other_score) > SCORE_TOLERANCE:
            raise Failed(f"answers differ: {label} {score}, {other} {other_score}")
