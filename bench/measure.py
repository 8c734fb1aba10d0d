"""Runs child processes and measures their time and memory; describes the machine and the commit."""

import datetime
import math
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile

CHILD = pathlib.Path(__file__).with_name("child.py")
ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNS = ROOT / "bench/runs"


class Failed(Exception):
    """A measured command exited with an error."""


def fail(message, advice):
    sys.exit(f"error: {message}\nhelp: {advice}")


def measured(command):
    """Runs a command. Returns its wall time, CPU time, peak memory and stdout."""
    command = [str(part) for part in command]
    with tempfile.TemporaryDirectory() as folder:
        out, err = pathlib.Path(folder, "out"), pathlib.Path(folder, "err")
        # Isolated and without site packages, Python needs the least memory.
        helper = [sys.executable, "-I", "-S", CHILD, out, err, *command]
        printed = subprocess.run(helper, check=True, stdout=subprocess.PIPE, text=True).stdout
        code, wall, cpu, peak = (float(number) for number in printed.split())
        if code != 0:
            last = err.read_text(errors="replace")[-2000:]
            raise Failed(f"`{' '.join(command)}` ended with {code:.0f}:\n{last}")
        return {
            "wall_seconds": wall,
            "cpu_seconds": cpu,
            "peak_bytes": int(peak) * 1024,
            "stdout": out.read_text(errors="replace"),
        }


def floor_bytes():
    """Returns the peak memory of a program that does nothing, the least of five runs.

    Smaller differences than this cannot be measured.
    """
    return min(measured(["/bin/true"])["peak_bytes"] for _ in range(5))


def dirty(root=ROOT):
    """Returns True if the working tree differs from its commit, new files included.

    Results in bench/runs and files that git ignores do not count.
    """
    command = ["git", "status", "--porcelain", "--", ".", ":!bench/runs"]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return found.returncode != 0 or bool(found.stdout.strip())


def require_commit(out, root=ROOT):
    """Exits with an error if results would go into bench/runs and no commit has this code."""
    if out.resolve().is_relative_to(root / "bench/runs") and dirty(root):
        sys.exit(
            f"error: the working tree has changes, so no commit describes results in `{out}`\n"
            "help: commit first, or pass `--out` with a folder outside of bench/runs"
        )


def run_folder(label, suffix):
    """Returns bench/runs/DATE-LABEL-SUFFIX. The label is a machine's name."""
    label = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
    return RUNS / f"{datetime.date.today().isoformat()}-{label}-{suffix}"


def commit():
    """Returns the commit's short hash, with `-dirty` if the working tree differs from it."""
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    short = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()
    return short + ("-dirty" if dirty() else "")


def venv(requirements):
    """Returns the Python of a pinned venv, made by tests/venv.sh if necessary.

    `requirements`: a path below the repository.
    """
    return shell('. tests/venv.sh; make_venv "$PWD/$1"', requirements)


def shell(script, *arguments):
    """Runs a script of bash in the repository. Returns what it prints, without the line break."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, "bash", *arguments],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()


def size(path):
    """Returns the bytes of a file, or of all files below a folder."""
    path = pathlib.Path(path)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def exponent(points):
    """Returns the slope of the least squares line through (log x, log y): y grows like x^slope."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x = statistics.fmean(x for x, _ in logs)
    mean_y = statistics.fmean(y for _, y in logs)
    across = sum((x - mean_x) * (y - mean_y) for x, y in logs)
    return across / sum((x - mean_x) ** 2 for x, _ in logs)


def cpu_model():
    """Returns the processor's name. Unlike the host's name, it may be published."""
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def memory_bytes():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def load():
    """Returns the load average of the last minute. Other work makes wall times longer."""
    return os.getloadavg()[0]
