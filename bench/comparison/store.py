"""raw.jsonl: one line per measured process, written as it ends, so that a run that was cut off goes on from there."""

import json

from comparison.jobs import OURS, TWIN, job_of


class Store:
    def __init__(self, folder):
        self.path = folder / "raw.jsonl"
        self.done = {}
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    self.keep(json.loads(line))
                except ValueError:
                    # The last line of a run that was killed while it wrote.
                    continue

    def keep(self, line):
        self.done[job_of(line)] = line

    def append(self, line):
        # A torn last line must not swallow this one.
        torn = self.path.exists() and self.path.stat().st_size and not self.path.read_bytes().endswith(b"\n")
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(("\n" if torn else "") + json.dumps(line) + "\n")
        self.keep(line)

    def lines(self, **fields):
        """All lines with these fields."""
        return [line for line in self.done.values()
                if all(line.get(name) == value for name, value in fields.items())]

    def by_pair(self, key, **fields):
        """What each pair's line has under `key`."""
        return {line["pair"]: line[key] for line in self.lines(**fields) if key in line}

    def sides(self, key, **fields):
        return tuple(self.by_pair(key, side=side, **fields) for side in (OURS, TWIN))
