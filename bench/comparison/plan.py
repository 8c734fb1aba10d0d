"""The plan of a run: its sections, cases, data sets, sizes and pairs."""

import dataclasses

from comparison import cases
from comparison.cases import FULL, LENGTH_TOKENS, SMOKE


@dataclasses.dataclass
class Plan:
    kind: str  # FULL or SMOKE
    cases: list
    data_sets: list
    first: str  # the data set of growth, threads and lengths
    first_rows: int
    pairs: int
    threads: int
    sections: list
    device: str = "cpu"
    all_rows: bool = False  # no case's limit holds

    @property
    def turns(self):
        """Returns the turns of all sections, the first pair of everything first."""
        found = []
        for pair in range(self.pairs):
            for section in self.sections:
                for case in self.cases:
                    if case.pairs and pair >= case.pairs:
                        continue
                    found += section.turns(self, case, pair)
        return found

    def train_rows(self, case):
        """Returns the largest number of training rows, or None for all."""
        return case.smoke_rows if self.kind == SMOKE else None if self.all_rows else case.limit

    def test_rows(self, case):
        if self.kind == SMOKE:
            return min(120, case.smoke_rows)
        return None if self.all_rows else case.test_limit

    def growth(self, case):
        """Returns the numbers of training rows. With None the job is that of other sections."""
        if self.kind == SMOKE:
            return [case.smoke_rows // 2, None]
        most = self.rows_of(case, None)
        sizes = case.growth if most == self.first_rows else (most // 4, most // 2)
        return [rows for rows in sizes if rows < most] + [None]

    def synthetic(self, case):
        return cases.SMOKE_SYNTHETIC if case.synthetic and self.kind == SMOKE else case.synthetic

    def thread_rows(self, case):
        """Returns the rows of the section `threads`: a quarter where rows are limited.

        It is never None, so that runs on one thread and on all threads are in the same turn, and
        results of other sections are not used.
        """
        limit = self.train_rows(case) if self.kind == FULL else None
        return limit // 4 if limit else self.rows_of(case, None)

    def lengths(self, case):
        return cases.SMOKE_LENGTHS if case.lengths and self.kind == SMOKE else case.lengths

    def length_rows(self, length):
        return max(LENGTH_TOKENS[self.kind] // length, 4)

    def rows_of(self, case, rows):
        """Returns `rows`, or the number that None stands for."""
        return rows or min(self.train_rows(case) or self.first_rows, self.first_rows)
