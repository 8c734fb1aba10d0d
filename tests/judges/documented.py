"""Runs the Python code of a page of the documentation."""

import re


def names(path):
    """Runs the first Python block of the page. Returns the names that it defines."""
    block = re.search(
        r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    if block is None:
        raise SystemExit(
            f"error: `{path}` has no block of Python code\n"
            "help: add one that the judges in tests/judges can run"
        )
    defined = {}
    exec(compile(block[1], str(path), "exec"), defined)
    return defined
