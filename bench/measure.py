"""Running child processes and taking their measure."""

import math
import os
import pathlib
import platform
import statistics
import subprocess
import tempfile
import time


class Failed(Exception):
    """A measured command did not end with 0."""


def measured(command):
    """Runs a command; its wall time, CPU time and peak memory as the kernel counted them, and its output."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        start = time.perf_counter()
        child = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
        # wait4 gives the usage of this child alone; getrusage(RUSAGE_CHILDREN) the largest peak of all so far.
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        stderr.seek(0)
        if child.returncode != 0:
            last = stderr.read().decode(errors="replace")[-2000:]
            shown = " ".join(str(part) for part in command)
            raise Failed(f"`{shown}` ended with {child.returncode}:\n{last}")
        return {
            "wall_seconds": wall,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_bytes": usage.ru_maxrss * 1024,
            "stdout": stdout.read().decode(errors="replace"),
        }


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
