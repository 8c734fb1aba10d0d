"""Measures how long the launcher takes for an image, without compiling.

    python3 bench/launcher_image.py [--turns 5] [--out DIR]

Needs a Docker engine and docker-registry. Compiles the trainer first. Exits with 1 if a target is
missed.
"""

import argparse
import contextlib
import json
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import measure

ROOT = pathlib.Path(__file__).resolve().parent.parent
TRAINYARD = ROOT / "target/release/trainyard"
TARGETS = {
    "trainyard --help": 0.02,
    "build, cached layers": 2.0,
    "build, compressing": 2.0,
    "build and push, empty registry": 5.0,
    "build and push, nothing new": 5.0,
    "container: start to first line": 0.5,
}
IMAGE = 15_000_000


def trainyard(*arguments):
    printed = subprocess.run(
        [TRAINYARD, *arguments, "--json"], check=True, cwd=ROOT, stdout=subprocess.PIPE
    ).stdout
    return json.loads(printed)


@contextlib.contextmanager
def registry():
    """Runs an empty registry on a free port."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        config = pathlib.Path(folder, "config.yml")
        config.write_text(
            "version: 0.1\n"
            f"storage:\n  filesystem:\n    rootdirectory: {folder}/store\n"
            f"http:\n  addr: {address}\n"
        )
        server = subprocess.Popen(
            ["docker-registry", "serve", config],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for _ in range(500):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://{address}/v2/")
                    break
                time.sleep(0.02)
            yield address
        finally:
            server.kill()
            server.wait()


def timed(*arguments):
    """Returns the wall seconds of a command without those of cargo."""
    start = time.perf_counter()
    answer = trainyard(*arguments)
    wall = time.perf_counter() - start
    return {
        "seconds": wall - answer["seconds"]["compile"],
        "with_cargo": wall,
        "answer": answer["seconds"],
    }


def first_line(image):
    """Measures from `docker run` to the trainer's first line, an error about missing data."""
    start = time.perf_counter()
    command = ["docker", "run", "--rm", "--network", "none", image, "train"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        run.stdout.readline()
        return {"seconds": time.perf_counter() - start}


def help_text():
    start = time.perf_counter()
    subprocess.run([TRAINYARD, "--help"], check=True, stdout=subprocess.DEVNULL)
    return {"seconds": time.perf_counter() - start}


def turn(image):
    yield "trainyard --help", help_text()
    layer_cache = ROOT / "target/trainyard/layers"
    yield "build, cached layers", timed("build", "svm")
    shutil.rmtree(layer_cache, ignore_errors=True)
    yield "build, compressing", timed("build", "svm")
    with registry() as address:
        shutil.rmtree(layer_cache, ignore_errors=True)
        yield "build and push, empty registry", timed("push", "svm", "--registry", address)
        yield "build and push, nothing new", timed("push", "svm", "--registry", address)
    yield "container: start to first line", first_line(image)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, help="folder for image.jsonl and image.md")
    arguments = parser.parse_args()
    if arguments.out:
        measure.require_commit(arguments.out)
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "-p", "launcher"], check=True, cwd=ROOT
    )
    built = trainyard("build", "svm", "--load")
    before = measure.load()
    runs = []
    for number in range(arguments.turns):
        for what, result in turn(built["loaded"]):
            runs.append({"turn": number, "what": what, **result})
    lines = ["| | median | worst | target |", "|---|---|---|---|"]
    missed = []
    for what, target in TARGETS.items():
        seconds = [run["seconds"] for run in runs if run["what"] == what]
        if statistics.median(seconds) > target:
            missed.append(f"{what}: {statistics.median(seconds):.3f} s, expected {target} s")
        lines.append(
            f"| {what} | {statistics.median(seconds):.3f} s | {max(seconds):.3f} s | {target} s |"
        )
    lines.append(f"| binary `trainyard` | {TRAINYARD.stat().st_size / 1e6:.1f} MB | | |")
    lines.append(f"| image, compressed | {built['size'] / 1e6:.2f} MB | | {IMAGE / 1e6:.0f} MB |")
    if built["size"] > IMAGE:
        missed.append(
            f"image, compressed: {built['size'] / 1e6:.2f} MB, expected {IMAGE / 1e6:.0f} MB"
        )
    title = (
        f"{measure.cpu_model()}; {arguments.turns} turns; "
        f"load {before:.1f} before, {measure.load():.1f} after."
    )
    summary = "\n".join(["# The launcher's image", "", title, "", *lines, ""])
    print(summary)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "image.md").write_text(summary)
        (arguments.out / "image.jsonl").write_text("".join(json.dumps(run) + "\n" for run in runs))
    if missed:
        sys.exit("error: the median misses targets\n" + "\n".join(f"  {line}" for line in missed))


if __name__ == "__main__":
    main()
