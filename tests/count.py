#!/usr/bin/env python3
"""Adds up the results of cargo-nextest and cargo test.

    count.py LOG SKIPS     SKIPS: one line per test that returned early and counts as skipped

Prints `N passed, N failed, N skipped`, and before that the tests that passed only when repeated.
Exits with 1 if a test failed, or if none ran.
"""

import re
import sys

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
NEXTEST = re.compile(r"^\s*Summary \[[^\]]*\] .*?tests? run: (.*)$")
CARGO = re.compile(r"^test result: \w+\. (.*)$")
# nextest prints `1 failed`, `2 timed out`, `1 exec failed`; cargo test `0 failed; 2 ignored`.
FLAKY = re.compile(r"^\s*FLAKY \d+/\d+ \[[^\]]*\]\s+(?:\([^)]*\)\s+)?(.*)$")
PART = re.compile(r"(\d+) (passed|failed|timed out|exec failed|skipped|ignored)")
KIND = {"timed out": "failed", "exec failed": "failed", "ignored": "skipped"}


def count(lines):
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for line in lines:
        summary = NEXTEST.match(line) or CARGO.match(line)
        if summary:
            for number, kind in PART.findall(summary.group(1)):
                totals[KIND.get(kind, kind)] += int(number)
    return totals


def main():
    with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
        lines = [COLOUR.sub("", line) for line in log]
    totals = count(lines)
    flaky = sorted({found.group(1) for found in map(FLAKY.match, lines) if found})
    if flaky:
        print("passed only when repeated:", ", ".join(flaky))
    with open(sys.argv[2], encoding="utf-8") as skips:
        early = len(set(skips))
    totals["passed"] -= early
    totals["skipped"] += early
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**totals))
    if totals["failed"] or not totals["passed"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
