#!/usr/bin/env python3
"""Checks the relative links and anchors of Markdown files.

    tests/links.py README.md docs/*.md

A link is broken if its file does not exist, or its `#anchor` is neither a heading nor an `id` of
that file. Links to other hosts are not followed. Code is ignored.
"""

import functools
import pathlib
import re
import sys
import urllib.parse

FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
CODE = re.compile(r"(`+)(?:.|\n)*?[^`]\1(?!`)")
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
# `[text](target "title")`, with one level of brackets in the text, as in a linked image.
INLINE = re.compile(
    r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^()\s>]*(?:\([^()\s]*\))?[^()\s>]*)>?[^()]*\)"
)
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)[^)]*\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)")
ATTRIBUTE = re.compile(r"""\b(id|name|href|src)=["']([^"']+)["']""")
HEADING_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def prose(text):
    """Yields (line number, line) outside of code blocks, with inline code removed."""
    fence = None
    for number, line in enumerate(text.splitlines(), 1):
        mark = FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip(" `~"):
                fence = None
        elif mark:
            fence = mark[1]
        else:
            yield number, line


def slug(heading):
    """Returns the anchor that GitHub and mdBook give a heading."""
    text = HEADING_LINK.sub(r"\1", heading).replace("`", "")
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", text).lower())


@functools.cache
def anchors(path):
    """Returns all anchors of a Markdown file. The second heading of a name ends with `-1`."""
    found, counts = set(), {}
    for _, line in prose(path.read_text(encoding="utf-8")):
        heading = HEADING.match(line)
        if heading:
            name = slug(heading[1])
            count = counts.get(name, 0)
            counts[name] = count + 1
            found.add(f"{name}-{count}" if count else name)
        found |= {value for key, value in ATTRIBUTE.findall(line) if key in ("id", "name")}
    return found


def links(text):
    """Yields (line number, target) of each link and image."""
    for number, line in prose(text):
        line = CODE.sub("", line)
        targets = INLINE.findall(line) + IMAGE.findall(line) + REFERENCE.findall(line)
        targets += [value for key, value in ATTRIBUTE.findall(line) if key in ("href", "src")]
        for target in dict.fromkeys(targets):
            yield number, target


def problem(path, target):
    """Returns why a link of file `path` is broken, or None."""
    parts = urllib.parse.urlsplit(target)
    if parts.scheme or parts.netloc:
        return None
    file = path.parent / urllib.parse.unquote(parts.path) if parts.path else path
    if not file.exists():
        return f"`{target}`: no file `{parts.path}`"
    if not parts.fragment or file.suffix != ".md":
        return None
    if urllib.parse.unquote(parts.fragment) not in anchors(file.resolve()):
        return f"`{target}`: no heading `#{parts.fragment}`"
    return None


def main():
    files = [pathlib.Path(name) for name in sys.argv[1:]]
    if not files:
        sys.exit(f"error: no files\nhelp: {__doc__}")
    count = broken = 0
    for path in files:
        for number, target in links(path.read_text(encoding="utf-8")):
            count += 1
            why = problem(path, target)
            if why:
                broken += 1
                print(f"error: {path}:{number}: {why}", file=sys.stderr)
    print(f"{count} links in {len(files)} files, {broken} broken")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
