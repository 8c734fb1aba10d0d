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

    @property
    def turns(self):
        """Of all sections; each job once, in the first turn that asks for it."""
        found = []
        for pair in range(self.pairs):
            for section in self.sections:
                for contest in self.contests:
                    found += section.turns(self, contest, pair)
        return found

    def whole(self, rows):
        """No number where it is all rows anyway, so that sections share that job."""
        return None if rows is None or rows >= self.first_rows else rows

    def train_rows(self, contest):
        return contest.smoke_rows if self.kind == SMOKE else None

    def test_rows(self, contest):
        return min(120, contest.smoke_rows) if self.kind == SMOKE else None

    def growth(self, contest):
        if self.kind == SMOKE:
            return [rows for rows in contests.SMOKE_GROWTH if rows < contest.smoke_rows] + [None]
        sizes = [self.whole(rows) for rows in contest.growth]
        return sorted({rows for rows in sizes if rows}) + [None]

    def synthetic(self, contest):
        return contests.SMOKE_SYNTHETIC if contest.synthetic and self.kind == SMOKE else contest.synthetic

    def one_thread(self, contest):
        return self.whole(contest.one_thread) if self.kind == FULL else None

    def lengths(self, contest):
        return contests.SMOKE_LENGTHS if contest.lengths and self.kind == SMOKE else contest.lengths

    def length_rows(self, length):
        return max(LENGTH_TOKENS[self.kind] // length, 4)

    def rows_of(self, contest, rows):
        """The number of rows behind None."""
        return rows or self.train_rows(contest) or self.first_rows
