"""Runs turns until the time limit, and estimates how long they take."""

import datetime
import hashlib
import time

from comparison.cases import BY_NAME, TEST_ROWS
from comparison.jobs import OURS
from comparison.rows import column
from comparison.scores import accuracy, cells, macro_f1, packed
from measure import Failed, load, measured, size

# Assumed speed-up of a GPU over the two cores of the first estimates. An H200 was 40 to 70 times as
# fast (bench/runs/2026-11-26-nvidia-h200-compare-cuda).
GPU_FASTER = 20


class Runner:
    def __init__(self, plan, store, tools, data, budget, repeat_below, facts):
        """`facts`: fields of every line of this run. `budget`: minutes, or None."""
        self.plan, self.store, self.tools, self.data = plan, store, tools, data
        self.repeat_below, self.facts = repeat_below, facts
        self.ends = time.monotonic() + 60 * budget if budget else None
        self.held = {}  # model path -> the job that trained it
        self.left_out, self.failures = [], []

    def run(self, turns):
        """Runs the turns by pair, short ones first."""
        turns = self.possible(turns)
        while turns:
            # Every measured process improves the estimates, so the order may change.
            turn = min(turns, key=lambda turn: (turn.pair, self.estimate(turn)))
            turns.remove(turn)
            wanted = [job for job in turn.jobs if job not in self.store.done]
            if not wanted:
                continue
            seconds, left = self.estimate(turn), self.left()
            if left is not None and seconds > left:
                self.left_out.append((turn, seconds, "does not fit into the budget"))
            elif turn.pair and seconds > self.repeat_below * 60:
                self.left_out.append((turn, seconds, "not repeated"))
            else:
                self.run_turn(turn, wanted, seconds)

    def possible(self, turns):
        """Returns the turns whose programs exist, without those that are part of a larger turn.

        The larger turn predicts with its models right after training them.
        """
        sets = [set(turn.jobs) for turn in turns]
        return [
            turn
            for turn, jobs in zip(turns, sets)
            if not any(jobs < other for other in sets)
            and self.tools.has(BY_NAME[turn.jobs[0].case])
        ]

    def left(self):
        return None if self.ends is None else self.ends - time.monotonic()

    def run_turn(self, turn, jobs, seconds):
        left = self.left()
        rest = "" if left is None else f", {left / 60:.0f} min left"
        print(f"==> {turn} (about {seconds:.0f} s{rest})", flush=True)
        for job in jobs:
            try:
                self.run_job(job)
            except Failed as failed:
                self.failures.append(str(job))
                print(f"error: {job}: {failed}", flush=True)
                return

    def run_job(self, job):
        case = BY_NAME[job.case]
        model = self.tools.model(job)
        if job.what != "train" and self.held.get(model) != job.training():
            print(f"  {job.training()}: once more, for its model", flush=True)
            self.train(job.training(), model)
        if job.what == "train":
            result = self.train(job, model)
            facts = {"model_bytes": size(model)} | weights(model)
        else:
            result = measured(self.command(job))
            facts = self.answers(job, case) if job.what == "predict" else {}
        result.pop("stdout")
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        facts |= {
            "command": self.tools.recorded(self.command(job)),
            "program": self.tools.program(job),
            "at": now,
            "load": load(),
        }
        self.store.append(job.fields() | result | facts | self.facts)
        print(
            f"  {job.side:8} {job.what:8} {result['wall_seconds']:9.3f} s wall "
            f"{result['cpu_seconds']:9.3f} s CPU "
            f"{result['peak_bytes'] / 1e6:8.1f} MB"
            + (f"  {facts['accuracy']:.4f}" if "accuracy" in facts else ""),
            flush=True,
        )

    def train(self, job, model):
        self.tools.clear(model)
        self.held.pop(model, None)
        result = measured(self.command(job))
        self.held[model] = job
        return result

    def command(self, job):
        # Derived data sets have the labels of the first one.
        name = job.data if job.data in self.data.names else self.data.first
        test = self.data.file(name, "test", TEST_ROWS) if self.tools.scores(job) else None
        return self.tools.command(job, self.source(job), test)

    def source(self, job):
        """Returns the input of a job: test rows for predictions, else training rows."""
        if job.what == "predict":
            return self.data.file(job.data, "test", self.plan.test_rows(BY_NAME[job.case]))
        rows = job.rows or self.plan.train_rows(BY_NAME[job.case])
        return self.data.file(job.data, "train", rows, job.length)

    def answers(self, job, case):
        """Returns the scores of the predictions, and the predictions for the bootstrap."""
        truth = self.data.labels(job.data, "test", self.plan.test_rows(case))
        found = column(self.tools.answers(job), "label", "predicted")
        seen = cells(truth, found)
        facts = {"test_rows": len(truth), "accuracy": accuracy(seen), "macro_f1": macro_f1(seen)}
        if not job.variant:
            names = sorted({*truth, *found})
            facts |= {
                "truth": packed(truth, names),
                "predicted": packed(found, names),
                "labels": names,
            }
        return facts

    def estimate(self, turn):
        return sum(self.estimate_job(job) for job in turn.jobs if job not in self.store.done)

    def estimate_job(self, job):
        """Estimates seconds by the most similar measured job, else by the case's first estimate."""
        case, amount = BY_NAME[job.case], self.amount(job)
        tried = any(key.variant == job.variant for key in self.store.done)
        near = [
            (key, line)
            for key, line in self.store.done.items()
            if (key.case, key.side, key.what) == (job.case, job.side, job.what)
            and (key.variant == job.variant or not tried)
        ]
        if near:
            key, line = min(near, key=lambda pair: abs(self.amount(pair[0]) - amount))
            # In proportion to the text, but start-up is assumed to be a fifth.
            return line["wall_seconds"] * max(amount / self.amount(key), 0.2)
        guess = case.guess[0 if job.side == OURS else 1]
        slower = (10 if job.variant == "--tune" else 1) / (
            GPU_FASTER if self.plan.device != "cpu" else 1
        )
        return (
            guess.start
            + slower * amount * {"train": guess.train, "predict": guess.predict, "one": 0}[job.what]
        )

    def amount(self, job):
        """Returns the MB of text that a job reads, counting every epoch; 1 for one text."""
        case = BY_NAME[job.case]
        if job.what == "one":
            return 1
        part = "test" if job.what == "predict" else "train"
        rows = (
            self.plan.test_rows(case) if part == "test" else job.rows or self.plan.train_rows(case)
        )
        cap = 5 * job.length if job.length else case.cap
        epochs = job.epochs or case.epochs_of(job.data, self.plan.kind) or 1
        return self.data.megabytes(job.data, part, rows, cap) * (1 if part == "test" else epochs)


def weights(model):
    """Returns a hash of the weights, to compare two models."""
    files = sorted(model.rglob("*.safetensors")) if model.is_dir() else []
    return (
        {"weights": hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]}
        if files
        else {}
    )
