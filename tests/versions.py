#!/usr/bin/env python3
"""Checks that every file names the Rust version that is tested, the one of rust-toolchain.toml."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Files and the pattern of the version in them.
PLACES = {
    "rust-toolchain.toml": r'^channel = "([\d.]+)"$',
    "Cargo.toml": r'^rust-version = "([\d.]+)"$',
    "docker/Dockerfile": r"^ARG BASE=rust:([\d.]+)-",
    "docker/gpu.Dockerfile": r"^ARG RUST=([\d.]+)$",
}


def found(root):
    """Returns the version in each file, None where there is none."""
    versions = {}
    for name, pattern in PLACES.items():
        match = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        versions[name] = match and match[1]
    return versions


def differences(versions):
    """Returns an error for each file whose version is not the first one's. 1.95 is 1.95.0."""
    tested_file, tested = next(iter(versions.items()))
    return [
        f"`{name}` has Rust {version}, `{tested_file}` has {tested}"
        for name, version in versions.items()
        if version is None or tested is None or f"{version}.0".split(".")[:3] != tested.split(".")
    ]


def main():
    errors = differences(found(ROOT))
    for error in errors:
        print(f"error: {error}\n  help: use the version of rust-toolchain.toml", file=sys.stderr)
    if not errors:
        print(f"Rust {found(ROOT)['rust-toolchain.toml']} in {', '.join(PLACES)}")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
