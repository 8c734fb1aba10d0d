"""environment.json: the machine and the versions, written when something is measured."""

import json
import os
import subprocess

from comparison.cost import DataFileError, image_sizes
from comparison.jobs import BASELINE
from measure import ROOT, cpu_model, memory_bytes


def first_line(command):
    try:
        return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.split(
            "\n"
        )[0]
    except OSError:
        return ""


VERSIONS = """
import importlib.metadata, sys
for name in sys.argv[1:]:
    try:
        print(f"{name}=={importlib.metadata.version(name)}")
    except importlib.metadata.PackageNotFoundError:
        pass
"""


def packages(python, requirements):
    """Returns `name==version` of each required package that this Python has installed."""
    names = [
        line.partition("==")[0].strip()
        for line in requirements.read_text().splitlines()
        if "==" in line
    ]
    return subprocess.run(
        [python, "-c", VERSIONS, *names], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.splitlines()


def gpu(plan):
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return first_line(query) if plan.device != "cpu" else ""


def machine(plan):
    """Returns a description of the machine, as stored in each line of raw.jsonl."""
    return ", ".join(
        part for part in (gpu(plan), cpu_model(), f"{len(os.sched_getaffinity(0))} cores") if part
    )


def note(folder, plan, tools, words=None):
    """Writes environment.json. Keeps entries of cases that are not measured in this run.

    `words`: a note for readers, kept until replaced.
    """
    old = read(folder) if (folder / "environment.json").is_file() else {}
    chosen = [case for case in plan.cases if tools.has(case)]
    baselines = {
        case.baseline: {
            "python": first_line([tools.python(case), "--version"]),
            "packages": packages(tools.python(case), ROOT / case.requirements),
        }
        for case in chosen
    }
    environment = {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory_bytes(),
        "gpu": gpu(plan),
        "kernel": os.uname().release.split("-")[0],
        "rustc": first_line(["rustc", "--version"]),
        "baselines": old.get("baselines", {}) | baselines,
        "images": old.get("images", {}) | image_sizes(chosen, tools, plan.device),
        "note": words or old.get("note", ""),
    }
    (folder / "environment.json").write_text(
        json.dumps(environment, indent=1) + "\n", encoding="utf-8"
    )


def read(folder):
    path = folder / "environment.json"
    try:
        return renamed(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataFileError(
            f"cannot read `{path}`: {error}; help: measure something with --out, which writes it"
        ) from error


def renamed(environment):
    """Renames the keys of old files: before December 2026 a baseline was a `twin`."""
    environment["baselines"] = environment.pop("twins", {}) | environment.get("baselines", {})
    for sizes in environment.get("images", {}).values():
        if "twin" in sizes:
            sizes[BASELINE] = sizes.pop("twin")
    return environment
