"""Jobs (one measured process each) and turns (jobs that are run together or not at all)."""

import dataclasses

OURS, BASELINE = "ours", "baseline"


@dataclasses.dataclass(frozen=True)
class Job:
    """One measured process, identified by these fields in raw.jsonl.

    Sections that need the same job share its result.
    """

    case: str
    side: str  # "ours" or "baseline"
    what: str  # "train", "predict" or "one" (text)
    data: str
    pair: int
    threads: int
    rows: int | None = None  # None: all
    length: int | None = None  # None: the length in the case's flags
    epochs: int | None = None  # None: the number in the case
    variant: str = ""  # of our side only, with other flags

    def training(self):
        """Returns the job that trains the model of this one."""
        return dataclasses.replace(self, what="train")

    def fields(self):
        return dataclasses.asdict(self)

    def __str__(self):
        parts = [self.case, self.side, self.what, self.data]
        parts += [f"{self.rows:,} rows"] if self.rows else []
        parts += [f"length {self.length}"] if self.length else []
        parts += [f"{self.epochs} epochs"] if self.epochs else []
        parts += [self.variant] if self.variant else []
        return " ".join(parts) + f", {self.threads} threads, pair {self.pair}"


def job_of(line):
    """Returns the job of a line of raw.jsonl."""
    return Job(**{field.name: line[field.name] for field in dataclasses.fields(Job)})


@dataclasses.dataclass
class Turn:
    """Jobs that are run together: a time is useless without the baseline's."""

    jobs: list

    @property
    def pair(self):
        return self.jobs[0].pair

    def __str__(self):
        first = self.jobs[0]
        title = (
            str(dataclasses.replace(first, side="both"))
            if any(job.side == BASELINE for job in self.jobs)
            else str(first)
        )
        return (
            title
            if len({job.what for job in self.jobs}) == 1
            else title.replace(" train ", " train and predict ")
        )


def turn(whats, **fields):
    """Returns both sides of each kind of job. The side that runs first alternates by pair."""
    sides = [OURS, BASELINE] if fields["pair"] % 2 == 0 else [BASELINE, OURS]
    return Turn([Job(what=what, side=side, **fields) for what in whats for side in sides])
