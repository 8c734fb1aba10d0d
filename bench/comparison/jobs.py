"""What is measured: a job is one process, a turn the jobs that only mean something together."""

import dataclasses

OURS, BASELINE = "ours", "baseline"


@dataclasses.dataclass(frozen=True)
class Job:
    """One measured process. Its fields are its name in raw.jsonl: sections that ask for the same job share it."""

    case: str
    side: str  # "ours" or "baseline"
    what: str  # "train", "predict" or "one" (text)
    data: str
    pair: int
    threads: int
    rows: int | None = None  # None: all there are
    length: int | None = None  # None: as long as the case says
    epochs: int | None = None  # None: as many as the case says
    variant: str = ""  # ours alone, with other flags

    def training(self):
        """The job whose model this one needs."""
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
    """The job that a line of raw.jsonl tells of."""
    return Job(**{field.name: line[field.name] for field in dataclasses.fields(Job)})


@dataclasses.dataclass
class Turn:
    """Run whole or not at all: a time without its baseline's would say nothing."""

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
    """Both sides of each kind of job, the side that goes first changing from pair to pair."""
    sides = [OURS, BASELINE] if fields["pair"] % 2 == 0 else [BASELINE, OURS]
    return Turn([Job(what=what, side=side, **fields) for what in whats for side in sides])
