"""Measures the servers and writes the results."""

import datetime
import json
import pathlib
import tempfile

from comparison.script import argument_parser, finish, machine_info, parse
from measure import load as machine_load
from measure import require_commit, run_folder
from serving import attack, batch, load, report
from serving.cases import CASES, CONNECTIONS, OURS, Programs
from serving.server import Server, free_port

SECTIONS = [*CASES, "batch", "attack"]
TEXT = "`serve` and Python's servers, side by side. See bench/README.md."


def arguments():
    parser = argument_parser(TEXT, "imdb/train.csv and imdb/test.csv", "svm")
    parser.add_argument(
        "--transformer", type=pathlib.Path, help="binary to measure [default: built by cargo]"
    )
    parser.add_argument("--pairs", type=int, default=3, help="repetitions of each measurement")
    parser.add_argument("--seconds", type=float, default=10, help="duration of each load")
    parser.add_argument("--attack-seconds", type=float, default=600, help="duration of the attacks")
    parser.add_argument(
        "--only", choices=SECTIONS, nargs="+", default=SECTIONS, help="measure only these sections"
    )
    parser.add_argument(
        "--pretrained-model",
        type=pathlib.Path,
        help="folder of the checkpoint [default: MiniLM of the pinned Python]",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="results' folder [default: bench/runs/<date>-<machine>-serve]",
    )
    args = parse(parser)
    if args.smoke:
        args.seconds, args.attack_seconds = 1, 3
    return args


class Bench:
    """One comparison: its programs and results."""

    def __init__(self, args, folder, raw_path):
        self.args, self.raw_path, self.lines = args, raw_path, []
        self.programs = Programs(args, folder)

    def keep(self, **line):
        self.lines.append(line)
        if self.raw_path:
            with open(self.raw_path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        print(
            "  " + ", ".join(f"{name} {short(value)}" for name, value in line.items()), flush=True
        )

    def servers(self, name):
        """Measures all servers of a trainer. Their order changes from pair to pair."""
        case, oha = CASES[name], load.oha()
        sides = [OURS, *case.peers]
        expected = {}
        for pair in range(self.args.pairs):
            for side in sides[pair % len(sides) :] + sides[: pair % len(sides)]:
                expected[side] = self.server(case, side, pair, oha)
        for peer in case.peers:
            load.compare(expected[OURS], expected[peer])

    def server(self, case, side, pair, oha):
        """Measures one server. Returns its first answers."""
        programs, seconds, port = self.programs, self.args.seconds, free_port()
        command, variables = programs.command(case, side, port)
        bodies = programs.bodies()
        with open(bodies, "rb") as file:
            first = file.readline()
        key = {"case": case.trainer, "side": side, "pair": pair}
        log = programs.folder / "server.log"
        with Server(command, variables, port, log, first) as server:
            answers = load.answers(port, bodies)
            # Not measured: all workers load their models.
            load.run(oha, port, bodies, CONNECTIONS[1], seconds / 5)
            for count in CONNECTIONS:
                figures = load.run(oha, port, bodies, count, seconds)
                self.keep(**key, what="load", connections=count, **figures)
            server.stop()
        numbers = {"start_seconds": server.start_seconds, "peak_bytes": server.peak_bytes}
        self.keep(**key, what="server", **numbers)
        return answers

    def section(self, name, bars):
        """Measures a section. Returns its part of the report."""
        if name in CASES:
            self.servers(name)
            return report.load(self.lines, name, bars)
        if name == "batch":
            for pair in range(self.args.pairs):
                self.keep(what="batch", pair=pair, **batch.measure(self.programs, pair))
            return report.batches(report.of(self.lines, what="batch"), bars)
        self.keep(what="attack", **attack.measure(self.programs, self.args.attack_seconds))
        return report.attack(self.lines[-1])


def short(value):
    return f"{value:.4g}" if isinstance(value, float) else value


def main():
    args = arguments()
    environment = machine_info(args.threads)
    target = args.out or run_folder(args.machine or environment["cpu"], "serve")
    if not args.smoke:
        require_commit(target)
        target.mkdir(parents=True, exist_ok=True)
    bars = report.Bars(strict=not args.smoke)
    lines = [
        f"# serve against servers of Python, {datetime.date.today()}",
        "",
        f"{environment['cpu']}, {environment['cores']} cores, {args.threads} threads; the load "
        "generator has the same cores. One text per request; medians and ranges.",
        "",
    ]
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as folder:
        raw = None if args.smoke else target / "raw.jsonl"
        bench = Bench(args, pathlib.Path(folder), raw)
        for name in args.only:
            print(f"==> {name}", flush=True)
            lines += bench.section(name, bars)
    environment["load_after"] = machine_load()
    return finish(args, target, lines, environment, bars.missed)
