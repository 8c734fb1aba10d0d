"""Computes the characters beyond ASCII that Python's regular expressions match with `\\w`.

scikit-learn's token pattern is `(?u)\\b\\w\\w+\\b`, so an equal tokenizer needs the same table.
`\\w` is `str.isalnum()` or the underscore; the table depends on the Unicode version of this Python
(`unicodedata.unidata_version`).

    word_ranges.py rust             print the table as Rust source
    word_ranges.py english          print scikit-learn's English stop words, sorted, one per line
    word_ranges.py compare FILE     compare a Rust table with this Python; prints JSON
"""

import argparse
import json
import re
import sys
import unicodedata


def word_ranges():
    """Returns the inclusive ranges of word characters from U+0080 on, ascending, merged."""
    word = re.compile(r"\w")
    ranges = []
    for code in range(0x80, sys.maxunicode + 1):
        if not word.match(chr(code)):
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return ranges


def as_rust(ranges):
    lines = [
        "// Made by tests/judges/word_ranges.py: "
        f"Unicode {unicodedata.unidata_version}. Do not edit.",
        "",
        "/// Word characters beyond ASCII as Python's `\\w` sees them: "
        "inclusive ranges, ascending.",
        "#[rustfmt::skip] // one range per line would make a thousand lines",
        "pub(crate) static WORD_RANGES: &[(u32, u32)] = &[",
    ]
    for start in range(0, len(ranges), 5):
        row = ranges[start : start + 5]
        lines.append("    " + " ".join(f"(0x{a:x}, 0x{b:x})," for a, b in row))
    lines.append("];")
    return "\n".join(lines)


def from_rust(source):
    pairs = re.findall(r"\(0x([0-9a-f]+),\s*0x([0-9a-f]+)\)", source, re.IGNORECASE)
    return [[int(a, 16), int(b, 16)] for a, b in pairs]


def compare(path):
    """Returns the code points on which the table in `path` and this Python disagree."""
    with open(path, encoding="utf-8") as file:
        theirs = {c for a, b in from_rust(file.read()) for c in range(a, b + 1)}
    ours = {c for a, b in word_ranges() for c in range(a, b + 1)}
    return {
        "equal": theirs == ours,
        "unicode": unicodedata.unidata_version,
        "python_only": sorted(ours - theirs),
        "table_only": sorted(theirs - ours),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["rust", "english", "compare"])
    parser.add_argument("file", nargs="?")
    args = parser.parse_args()
    if args.action == "rust":
        print(as_rust(word_ranges()))
    elif args.action == "english":
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        print("\n".join(sorted(ENGLISH_STOP_WORDS)))
    elif args.file is None:
        parser.error("compare needs the file with the Rust table")
    else:
        print(json.dumps(compare(args.file)))


if __name__ == "__main__":
    main()
