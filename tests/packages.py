#!/usr/bin/env python3
"""Prints what `[package.metadata.test]` of this workspace's packages asks for.

    packages.py features --workspace    cargo's option for the features that tests need, or nothing
    packages.py needs svm bag           programs and servers that tests need, one word each

`features`: features of the package. `needs`: words that `./test` knows, such as `torch`.
Names of packages are given as for `cargo --package`; other arguments are ignored.
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def workspace():
    """Returns `[package.metadata.test]` of each package by its name."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"]
    output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    packages = json.loads(output)["packages"]
    return {package["name"]: (package["metadata"] or {}).get("test", {}) for package in packages}


def selected(packages, arguments):
    """Returns the packages that the arguments name, all of them for `--workspace`."""
    if "--workspace" in arguments:
        return packages
    names = {argument.removeprefix("--package=").removeprefix("-p") for argument in arguments}
    return {name: test for name, test in packages.items() if name in names}


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("features", "needs"):
        sys.exit(f"error: expected `features` or `needs`, and packages\nhelp: {__doc__}")
    chosen = selected(workspace(), sys.argv[2:])
    if sys.argv[1] == "needs":
        print(*sorted({need for test in chosen.values() for need in test.get("needs", ())}))
        return
    features = [
        f"{name}/{feature}"
        for name, test in sorted(chosen.items())
        for feature in test.get("features", ())
    ]
    if features:
        print("--features", ",".join(features))


if __name__ == "__main__":
    main()
