"""raw.jsonl: one line per measured process, written as it ends, so that a run that was cut off goes on from there."""

import json

from comparison.jobs import BASELINE, OURS, job_of


class Store:
    def __init__(self, folder):
        self.path = folder / "raw.jsonl"
        self.done = {}
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        # A torn last line must not swallow the next.
        self.torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            try:
                self.keep(json.loads(line))
            except ValueError:
                # The last line of a run that was killed while it wrote.
                continue

    def keep(self, line):
        self.done[job_of(line)] = line

    def append(self, line):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(("\n" if self.torn else "") + json.dumps(line) + "\n")
        self.torn = False
        self.keep(line)

    def threads(self):
        """The most that a line has: the section `threads` has fewer too. None without lines."""
        return max((job.threads for job in self.done), default=None)

    def lines(self, **fields):
        """All lines with these fields."""
        return [
            line
            for line in self.done.values()
            if all(line.get(name) == value for name, value in fields.items())
        ]

    def by_pair(self, key, **fields):
        """What each pair's line has under `key`."""
        return {line["pair"]: line[key] for line in self.lines(**fields) if key in line}

    def sides(self, key, **fields):
        return tuple(self.by_pair(key, side=side, **fields) for side in (OURS, BASELINE))
