"""What the Python block of a page of the documentation defines."""

import re


def names(path):
    """Runs the first Python block of the page, and gives all that it defines."""
    block = re.search(
        r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    if block is None:
        raise SystemExit(
            f"error: expected a Python block in `{path}`, found none\nhelp: see tests/judges/documented.py"
        )
    defined = {}
    exec(compile(block[1], str(path), "exec"), defined)
    return defined
