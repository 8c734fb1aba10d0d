"""The command line of bench/compare."""

import argparse
import datetime
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from comparison import cases, environment, summary
from comparison.cost import DataFileError
from comparison.own import prepare
from comparison.plan import Plan
from comparison.rows import SETS, Data
from comparison.runner import Runner
from comparison.sections import SECTIONS
from comparison.store import Store
from comparison.tools import Missing, Tools
from measure import ROOT, commit, cpu_model, fail, floor_bytes, require_commit, run_folder

DESCRIPTION = (
    "Compares the trainers with Python: accuracy, time, memory, sizes, cost. See bench/README.md."
)


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


def add_data_options(parser):
    """Adds the options that name the rows: the known data sets, or a file of the user's own."""
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument(
        "--train",
        type=pathlib.Path,
        metavar="FILE",
        help="compare on your own rows: .csv, .tsv or .jsonl; without --only and --sections, the "
        "cases without PyTorch and the section `whole`",
    )
    rows.add_argument(
        "--data",
        type=pathlib.Path,
        default=ROOT.parent / "shared/data",
        help="folder with imdb/, ag_news/ and sms_spam/, each with train.csv and test.csv "
        "(data/README.md)",
    )
    parser.add_argument(
        "--test",
        type=pathlib.Path,
        metavar="FILE",
        help="test rows for --train [default: a fifth of its texts]",
    )
    parser.add_argument(
        "--text-column", metavar="NAME", help="column with the text, for --train [default: text]"
    )
    parser.add_argument(
        "--label-column", metavar="NAME", help="column with the label, for --train [default: label]"
    )


def add_plan_options(parser):
    """Adds the options that choose the measurements."""
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(cases.BY_NAME),
        metavar="CASE",
        help=f"some of {', '.join(cases.BY_NAME)}",
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
        help="data sets; growth, threads and lengths use the first",
    )
    parser.add_argument(
        "--pairs", type=at_least(1), default=3, help="repetitions of each measurement [default: 3]"
    )
    parser.add_argument(
        "--repeat-below",
        type=at_least(0, float),
        default=2,
        metavar="MINUTES",
        help="measure jobs that take longer only once [default: 2]",
    )
    parser.add_argument(
        "--limit-minutes",
        type=at_least(0.1, float),
        help="start no job that would end later; run the same command again to continue",
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="train neural networks on all rows too: days on a CPU [default with --device cuda]",
    )


def add_machine_options(parser):
    """Adds the options for threads, devices, programs and models of both sides."""
    parser.add_argument(
        "--threads",
        type=at_least(1),
        help="threads of both sides "
        "[default: those of the results in --out, else all cores, at most 8]",
    )
    parser.add_argument(
        "--device",
        choices=["cpu", "cuda"],
        default="cpu",
        help="cuda: only the neural networks, on NVIDIA GPUs",
    )
    parser.add_argument(
        "--binaries",
        type=pathlib.Path,
        help="folder with the trainers' binaries [default: built by cargo]",
    )
    parser.add_argument(
        "--python",
        type=program,
        help="a Python with the packages of all baselines, such as a PyTorch for this GPU "
        "[default: one pinned venv for each baseline]",
    )
    parser.add_argument(
        "--pretrained-model",
        type=pathlib.Path,
        help="checkpoint that both transformers start from [default: MiniLM]",
    )


def add_result_options(parser):
    """Adds the options for the results' folder and the documents."""
    parser.add_argument(
        "--machine", help="machine's name in the results' folder [default: the CPU model]"
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="results' folder; jobs that it has are not measured again "
        "[default: bench/runs/<date>-<machine>-compare]",
    )
    parser.add_argument("--note", help="note for readers, shown above the tables")
    parser.add_argument(
        "--tables", action="store_true", help="only rewrite the tables and plots of --out"
    )
    parser.add_argument(
        "--readme",
        action="store_true",
        help=f"write the short table between `{summary.START}` and `{summary.END}` of README.md",
    )
    parser.add_argument(
        "--docs",
        type=pathlib.Path,
        metavar="FILE",
        help="write the full table between the same marks of this file; --readme links to it",
    )


def parser():
    parser = argparse.ArgumentParser(prog="bench/compare", description=DESCRIPTION)
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="test all of it on data/movie.csv; the results are not kept",
    )
    for add in (add_data_options, add_plan_options, add_machine_options, add_result_options):
        add(parser)
    return parser


def check(args):
    if args.tables and not (args.out and (args.out / "raw.jsonl").is_file()):
        fail("no raw.jsonl to make tables of", "pass the results' folder as --out")
    if args.smoke and (args.out or args.readme or args.docs):
        fail("--smoke keeps no results", "remove --out, --readme and --docs")
    check_own(args)
    known = not (args.smoke or args.train)
    if known and not any((args.data / name / "train.csv").is_file() for name in SETS):
        fail(
            f"none of {', '.join(SETS)} below `{args.data}`",
            "get them as data/README.md describes, or try --smoke",
        )
    if args.device == "cuda" and not args.tables and not gpu():
        fail(
            "no NVIDIA GPU: `nvidia-smi -L` names none",
            "remove --device, or use a machine with a GPU",
        )
    for name in (args.sets or []) if known else []:
        if not (args.data / name / "train.csv").is_file():
            fail(f"no `{name}/train.csv` below `{args.data}`", "get it as data/README.md describes")


def check_own(args):
    """Refuses options that have no effect with or without --train."""
    others = ["--smoke", "--sets", "--readme", "--docs"]
    own = ["--test", "--text-column", "--label-column"]
    for flag in others if args.train else own:
        if getattr(args, flag[2:].replace("-", "_")):
            without = "with" if args.train else "without"
            fail(f"{flag} has no effect {without} --train", f"remove {flag}")


def gpu():
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True).stdout.startswith(b"GPU")
    except OSError:
        return False


def threads_of(args, store):
    """Returns the number of threads: as given, else as in the results so far, else all cores."""
    return args.threads or store.threads() or min(len(os.sched_getaffinity(0)), 8)


def plan_of(args, data, threads):
    only, sections = args.only, args.sections
    if args.train:
        quick = [case.name for case in cases.CASES if not case.on_gpu or args.device != "cpu"]
        only, sections = only or quick, sections or ["whole"]
    chosen = [case for case in cases.CASES if not only or case.name in only]
    if args.device != "cpu":
        chosen = [case for case in chosen if case.on_gpu]
        if not chosen:
            fail("none of these cases runs on a GPU", "remove --only")
    return Plan(
        kind=cases.SMOKE if args.smoke else cases.FULL,
        cases=chosen,
        data_sets=data.names,
        first=data.first,
        first_rows=data.count(data.first, "train"),
        pairs=1 if args.smoke else args.pairs,
        threads=threads,
        sections=[section for section in SECTIONS if not sections or section.name in sections],
        device=args.device,
        all_rows=args.whole or args.device != "cpu",
    )


def out_of(args, work, own):
    if args.smoke:
        return work / "results"
    if own and not args.out:
        return ROOT / f"bench/out/{own.name}-{own.digest}"
    suffix = "" if args.device == "cpu" else f"-{args.device}"
    return args.out or run_folder(args.machine or cpu_model(), f"compare{suffix}")


def run(args, work):
    own, sample = None, ROOT / "data/movie.csv" if args.smoke else None
    if args.train:
        columns = args.text_column or "text", args.label_column or "label"
        own = prepare(work / "own", args.train, args.test, *columns)
        print(own.note, flush=True)
    data = Data(
        own.folder if own else args.data, work / "rows", sample, [own.name] if own else None
    )
    if args.sets and not args.smoke:
        data.names = args.sets
    out = out_of(args, work, own)
    if not args.tables:
        require_commit(out)
    out.mkdir(parents=True, exist_ok=True)
    store = Store(out)
    if own and any(line.get("rows_digest") != own.digest for line in store.done.values()):
        fail(f"`{out}` has results of other rows", "pass another folder as --out")
    plan = plan_of(args, data, threads_of(args, store))
    failures = [] if args.tables else measure(args, work, out, store, plan, data, own)
    plan.cases = [case for case in plan.cases if store.lines(case=case.name)]
    if not plan.cases:
        fail("nothing was measured", "the reasons are above")
    print(
        "\n"
        + summary.write(
            out, store, plan, data, environment.read(out), datetime.date.today().isoformat()
        )
    )
    if not args.smoke:
        print(f"written to {out}")
    write_documents(args, store, plan, data, out)
    failures += (
        [f"no table: {missing}" for missing in summary.without_rows(store, plan)]
        if args.smoke
        else []
    )
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


def measure(args, work, out, store, plan, data, own=None):
    """Measures and records the machine. Returns the failures."""
    tools = Tools(args.binaries, plan.kind, args.device, args.pretrained_model, work, args.python)
    facts = {"commit": commit(), "machine": environment.machine(plan), "floor_bytes": floor_bytes()}
    if own:
        facts["rows_digest"] = own.digest
    runner = Runner(plan, store, tools, data, args.limit_minutes, args.repeat_below, facts)
    environment.note(out, plan, tools, args.note or (own and own.note))
    runner.run(plan.turns)
    for missing in tools.missing.values():
        print(f"skipped: {missing}", flush=True)
    for turn, seconds, why in runner.left_out:
        print(f"skipped: {turn}: {why} (about {seconds:.0f} s)")
    return runner.failures + [str(missing) for missing in tools.missing.values() if args.smoke]


def write_documents(args, store, plan, data, out):
    """Writes the tables that --readme and --docs ask for."""
    folder = os.path.relpath(out.resolve(), ROOT)
    link = f"{folder}/summary.md"
    if args.docs:
        write_between_marks(args.docs, summary.docs_table(store, plan, data, folder))
        link = os.path.relpath(args.docs.resolve(), ROOT)
    if args.readme:
        write_between_marks(ROOT / "README.md", summary.readme_table(store, plan, data, link))


def write_between_marks(path, lines):
    try:
        text = summary.put_between_marks(path.read_text(encoding="utf-8"), lines)
    except OSError as error:
        fail(f"cannot read `{path}`: {error}", "pass an existing file")
    if text is None:
        fail(
            f"`{path}` has no lines `{summary.START}` and `{summary.END}`",
            "add the two lines where the table belongs",
        )
    path.write_text(text, encoding="utf-8")
    print(f"table written to {path}")


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
