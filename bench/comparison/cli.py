"""The command line of bench/compare."""

import argparse
import datetime
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from comparison import cases, environment, summary
from comparison.cost import DataFileError
from comparison.plan import Plan
from comparison.rows import SETS, Data
from comparison.runner import Runner
from comparison.sections import SECTIONS
from comparison.store import Store
from comparison.tools import Missing, Tools
from measure import ROOT, commit, cpu_model, floor_bytes

DESCRIPTION = "Rust against Python, side by side: accuracy, time, memory, sizes and cost. See bench/README.md."


def at_least(least, kind=int):
    def read(text):
        value = kind(text)
        if not value >= least:
            raise argparse.ArgumentTypeError(f"expected at least {least}, found `{text}`")
        return value

    read.__name__ = "number"
    return read


def program(value):
    found = shutil.which(value)
    if not found:
        raise argparse.ArgumentTypeError(f"no program `{value}`")
    return pathlib.Path(found).absolute()


def parser():
    parser = argparse.ArgumentParser(prog="bench/compare", description=DESCRIPTION)
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="all of it on data/movie.csv, for its tests; nothing is kept",
    )
    parser.add_argument(
        "--data",
        type=pathlib.Path,
        default=ROOT.parent / "shared/data",
        help="folder with imdb/, ag_news/ and sms_spam/, each with train.csv and test.csv (data/README.md)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(cases.BY_NAME),
        metavar="CASE",
        help=f"of {', '.join(cases.BY_NAME)}",
    )
    parser.add_argument(
        "--sections",
        nargs="+",
        choices=[section.name for section in SECTIONS],
        help="parts of each case",
    )
    parser.add_argument(
        "--sets",
        nargs="+",
        choices=SETS,
        help="data sets; the first is that of growth, threads and lengths",
    )
    parser.add_argument(
        "--pairs", type=at_least(1), default=3, help="how often each is measured [default: 3]"
    )
    parser.add_argument(
        "--repeat-below",
        type=at_least(0, float),
        default=2,
        metavar="MINUTES",
        help="what takes longer is measured once [default: 2]",
    )
    parser.add_argument(
        "--limit-minutes",
        type=at_least(0.1, float),
        help="start nothing that would end later; the same command goes on",
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="networks too learn from all rows: days on a CPU [default with --device cuda]",
    )
    parser.add_argument(
        "--threads",
        type=at_least(1),
        help="of both sides [default: as --out has them, else all cores, at most 8]",
    )
    parser.add_argument(
        "--device",
        choices=["cpu", "cuda"],
        default="cpu",
        help="cuda: the networks, on NVIDIA GPUs",
    )
    parser.add_argument(
        "--binaries",
        type=pathlib.Path,
        help="a folder of trainers to measure [default: cargo builds them]",
    )
    parser.add_argument(
        "--python",
        type=program,
        help="one that has all that the baselines import, such as a PyTorch for this GPU "
        "[default: a venv for each, with pinned versions]",
    )
    parser.add_argument(
        "--pretrained-model",
        type=pathlib.Path,
        help="what the transformers start from [default: MiniLM]",
    )
    parser.add_argument("--machine", help="label of the results' folder [default: the CPU model]")
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="the results' folder; what it has is not measured again "
        "[default: bench/runs/<date>-<machine>-compare]",
    )
    parser.add_argument(
        "--note",
        help="what a reader has to know of this machine or these programs; stands above the tables",
    )
    parser.add_argument(
        "--tables",
        action="store_true",
        help="measure nothing, make the tables and plots of --out anew",
    )
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    return parser


def fail(message, way_out):
    sys.exit(f"error: {message}\nhelp: {way_out}")


def check(args):
    if args.tables and not (args.out and (args.out / "raw.jsonl").is_file()):
        fail("no raw.jsonl to make tables of", "name a results' folder with --out")
    if args.smoke and (args.out or args.readme):
        fail("--smoke keeps nothing", "leave --out and --readme out")
    if not args.smoke and not any((args.data / name / "train.csv").is_file() for name in SETS):
        fail(
            f"none of {', '.join(SETS)} below `{args.data}`",
            "data/README.md tells where to get them, or try --smoke",
        )
    if args.device == "cuda" and not args.tables and not gpu():
        fail(
            "no NVIDIA GPU: `nvidia-smi -L` names none",
            "leave --device out, or start it where there is one",
        )
    for name in [] if args.smoke else args.sets or []:
        if not (args.data / name / "train.csv").is_file():
            fail(
                f"no `{name}/train.csv` below `{args.data}`", "data/README.md tells where to get it"
            )


def gpu():
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True).stdout.startswith(b"GPU")
    except OSError:
        return False


def threads_of(args, store):
    """As many as asked for; else as the lines that are there have, so that more of them mean the same; else all cores."""
    return args.threads or store.threads() or min(len(os.sched_getaffinity(0)), 8)


def plan_of(args, data, threads):
    chosen = [case for case in cases.CASES if not args.only or case.name in args.only]
    if args.device != "cpu":
        chosen = [case for case in chosen if case.on_gpu]
        if not chosen:
            fail("none of these runs on a GPU", "leave --only out")
    return Plan(
        kind=cases.SMOKE if args.smoke else cases.FULL,
        cases=chosen,
        data_sets=data.names,
        first=data.first,
        first_rows=data.count(data.first, "train"),
        pairs=1 if args.smoke else args.pairs,
        threads=threads,
        sections=[
            section for section in SECTIONS if not args.sections or section.name in args.sections
        ],
        device=args.device,
        all_rows=args.whole or args.device != "cpu",
    )


def out_of(args, work):
    if args.smoke:
        return work / "results"
    label = re.sub(r"[^a-z0-9]+", "-", (args.machine or cpu_model()).lower()).strip("-")
    suffix = "" if args.device == "cpu" else f"-{args.device}"
    return (
        args.out
        or ROOT / "bench/runs" / f"{datetime.date.today().isoformat()}-{label}-compare{suffix}"
    )


def run(args, work):
    data = Data(args.data, work / "rows", ROOT / "data/movie.csv" if args.smoke else None)
    if args.sets and not args.smoke:
        data.names = args.sets
    out = out_of(args, work)
    out.mkdir(parents=True, exist_ok=True)
    store = Store(out)
    plan = plan_of(args, data, threads_of(args, store))
    failures = [] if args.tables else measure(args, work, out, store, plan, data)
    plan.cases = [case for case in plan.cases if store.lines(case=case.name)]
    if not plan.cases:
        fail("nothing was measured", "what stands above says why")
    print(
        "\n"
        + summary.write(
            out, store, plan, data, environment.read(out), datetime.date.today().isoformat()
        )
    )
    if not args.smoke:
        print(f"written to {out}")
    if args.readme:
        readme(store, plan, data, out)
    failures += (
        [f"no table: {missing}" for missing in summary.without_rows(store, plan)]
        if args.smoke
        else []
    )
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


def measure(args, work, out, store, plan, data):
    """Measures, and notes the machine while it is this one; returns what failed."""
    tools = Tools(args.binaries, plan.kind, args.device, args.pretrained_model, work, args.python)
    facts = {"commit": commit(), "machine": environment.machine(plan), "floor_bytes": floor_bytes()}
    runner = Runner(plan, store, tools, data, args.limit_minutes, args.repeat_below, facts)
    environment.note(out, plan, tools, args.note)
    runner.run(plan.turns)
    for missing in tools.missing.values():
        print(f"left out: {missing}", flush=True)
    for turn, seconds, why in runner.left_out:
        print(f"left out: {turn}: {why} (about {seconds:.0f} s)")
    return runner.failures + [str(missing) for missing in tools.missing.values() if args.smoke]


def readme(store, plan, data, out):
    path = ROOT / "README.md"
    lines = summary.readme_table(store, plan, data, os.path.relpath(out.resolve(), ROOT))
    text = summary.put_into_readme(path.read_text(encoding="utf-8"), lines)
    if text is None:
        fail(
            f"README.md has no `{summary.START}` and `{summary.END}`",
            "put the two lines where the table belongs",
        )
    path.write_text(text, encoding="utf-8")
    print("put into README.md")


def main():
    args = parser().parse_args()
    check(args)
    work = pathlib.Path(tempfile.mkdtemp(prefix="trainyard-compare-"))
    try:
        return run(args, work)
    except (Missing, DataFileError) as error:
        return f"error: {error}"
    finally:
        shutil.rmtree(work, ignore_errors=True)
