"""What a run measures: its sections, contests, data sets, sizes and pairs."""

import dataclasses

from comparison import contests
from comparison.contests import FULL, LENGTH_TOKENS, SMOKE


@dataclasses.dataclass
class Plan:
    kind: str  # FULL or SMOKE
    contests: list
    data_sets: list
    first: str  # the data set of growth, threads and lengths
    first_rows: int
    pairs: int
    threads: int
    sections: list
    device: str = "cpu"
    all_rows: bool = False  # no contest's limit holds

    @property
    def turns(self):
        """Of all sections; each job once, in the first turn that asks for it."""
        found = []
        for pair in range(self.pairs):
            for section in self.sections:
                for contest in self.contests:
                    if contest.pairs and pair >= contest.pairs:
                        continue
                    found += section.turns(self, contest, pair)
        return found

    def train_rows(self, contest):
        """At most so many; None: all."""
        return contest.smoke_rows if self.kind == SMOKE else None if self.all_rows else contest.limit

    def test_rows(self, contest):
        if self.kind == SMOKE:
            return min(120, contest.smoke_rows)
        return None if self.all_rows else contest.test_limit

    def growth(self, contest):
        """Rows to train on; None, for as many as elsewhere, shares its job with other sections."""
        if self.kind == SMOKE:
            return [contest.smoke_rows // 2, None]
        most = self.rows_of(contest, None)
        sizes = contest.growth if most == self.first_rows else (most // 4, most // 2)
        return [rows for rows in sizes if rows < most] + [None]

    def synthetic(self, contest):
        return contests.SMOKE_SYNTHETIC if contest.synthetic and self.kind == SMOKE else contest.synthetic

    def thread_rows(self, contest):
        """Where rows are limited for the time they take, a quarter of them do. Always a number: the runs on all threads must
        be of the same turn as those on one, not those that other sections have of all rows."""
        limit = self.train_rows(contest) if self.kind == FULL else None
        return limit // 4 if limit else self.rows_of(contest, None)

    def lengths(self, contest):
        return contests.SMOKE_LENGTHS if contest.lengths and self.kind == SMOKE else contest.lengths

    def length_rows(self, length):
        return max(LENGTH_TOKENS[self.kind] // length, 4)

    def rows_of(self, contest, rows):
        """The number of rows behind None."""
        return rows or min(self.train_rows(contest) or self.first_rows, self.first_rows)
