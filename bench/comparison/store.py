"""raw.jsonl: one line per measured process, appended when it ends, so a run can be resumed."""

import json

from comparison.jobs import BASELINE, OURS, job_of

# Field names and values in lines written before December 2026.
OLD_FIELDS = {"contest": "case"}
OLD_SIDES = {"twin": BASELINE}


class Store:
    def __init__(self, folder):
        self.path = folder / "raw.jsonl"
        self.done = {}
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        # A truncated last line must not be joined with the next one.
        self.torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            try:
                self.keep(json.loads(line))
            except ValueError:
                # Truncated line of a run that was killed while writing.
                continue

    def keep(self, line):
        line = {OLD_FIELDS.get(name, name): value for name, value in line.items()}
        line["side"] = OLD_SIDES.get(line["side"], line["side"])
        self.done[job_of(line)] = line

    def append(self, line):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(("\n" if self.torn else "") + json.dumps(line) + "\n")
        self.torn = False
        self.keep(line)

    def threads(self):
        """Returns the largest thread count of any line, or None if there are no lines."""
        return max((job.threads for job in self.done), default=None)

    def lines(self, **fields):
        """Returns the lines whose fields have these values."""
        return [
            line
            for line in self.done.values()
            if all(line.get(name) == value for name, value in fields.items())
        ]

    def by_pair(self, key, **fields):
        """Returns {pair: value of `key`} of the lines whose fields have these values."""
        return {line["pair"]: line[key] for line in self.lines(**fields) if key in line}

    def sides(self, key, **fields):
        return tuple(self.by_pair(key, side=side, **fields) for side in (OURS, BASELINE))
