"""Runs a judge for several lists of arguments, in one process: imports take seconds.

    cases.py tfidf cases.json

`cases.json` is a list of lists of arguments. Prints JSON: `cases`, what the judge prints
for each.
"""

import contextlib
import importlib
import io
import json
import pathlib
import sys


def main():
    name, cases = sys.argv[1:]
    judge = importlib.import_module(name)
    results = []
    for arguments in json.loads(pathlib.Path(cases).read_text(encoding="utf-8")):
        sys.argv = [f"{name}.py", *arguments]
        with contextlib.redirect_stdout(io.StringIO()) as output:
            judge.main()
        results.append(json.loads(output.getvalue()))
    print(json.dumps({"cases": results}))


if __name__ == "__main__":
    main()
