"""Running child processes and taking their measure."""

import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

CHILD = pathlib.Path(__file__).with_name("child.py")
ROOT = pathlib.Path(__file__).resolve().parent.parent


class Failed(Exception):
    """A measured command did not end with 0."""


def measured(command):
    """Runs a command; its wall time, CPU time and peak memory as the kernel counted them, and its output."""
    command = [str(part) for part in command]
    with tempfile.TemporaryDirectory() as folder:
        out, err = pathlib.Path(folder, "out"), pathlib.Path(folder, "err")
        # Without the site packages, the smallest Python there is.
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
    """The peak of a program that does nothing, the least of a few: what is near it cannot be told from it."""
    return min(measured(["/bin/true"])["peak_bytes"] for _ in range(5))


def commit():
    """The repository's, marked where its files differ from it; results that are being written do not count."""
    said = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    same = subprocess.run(
        ["git", "diff", "--quiet", "HEAD", "--", ".", ":!bench/runs"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    return said + ("-dirty" if same.returncode else "")


def venv(requirements):
    """The Python of a pinned venv, made by tests/venv.sh if it is not there; `requirements` is below the repository."""
    script = '. tests/venv.sh; make_venv "$PWD/$1"'
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, "bash", requirements],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()


def size(path):
    """Bytes of a file, or of all files below a folder."""
    path = pathlib.Path(path)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def exponent(points):
    """Slope of a least squares line through (log x, log y): y grows like x to this power."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x = statistics.fmean(x for x, _ in logs)
    mean_y = statistics.fmean(y for _, y in logs)
    across = sum((x - mean_x) * (y - mean_y) for x, y in logs)
    return across / sum((x - mean_x) ** 2 for x, _ in logs)


def cpu_model():
    """The processor's name: says more than a host's and gives nothing away."""
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
    """How many processes wanted to run in the last minute: other work spoils wall times."""
    return os.getloadavg()[0]
