"""Tests of tests/packages.py."""

import json
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import packages


class Packages(unittest.TestCase):
    def run_script(self, *arguments):
        command = [sys.executable, "-B", packages.__file__, *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    def test_packages_are_selected_as_by_cargo(self):
        known = {"a": {}, "b": {}, "c": {}}
        self.assertEqual(packages.selected(known, ["--workspace", "--exclude", "a"]), known)
        arguments = ["-p", "a", "-pb", "--package=d", "sigterm"]
        self.assertEqual(list(packages.selected(known, arguments)), ["a", "b"])

    def test_features_and_needs_exist(self):
        command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"]
        output = subprocess.run(
            command, cwd=packages.ROOT, stdout=subprocess.PIPE, check=True
        ).stdout
        features = {
            package["name"]: package["features"] for package in json.loads(output)["packages"]
        }
        script = (packages.ROOT / "test").read_text(encoding="utf-8")
        for name, test in packages.workspace().items():
            for feature in test.get("features", ()):
                self.assertIn(feature, features[name], name)
            for need in test.get("needs", ()):
                self.assertRegex(script, rf"(?m)^ +{re.escape(need)}\)", name)

    def test_options_for_cargo(self):
        self.assertEqual(
            self.run_script("features", "-p", "svm").stdout, "--features svm/parquet,svm/serve\n"
        )
        self.assertEqual(self.run_script("features", "-p", "launcher").stdout, "")
        self.assertEqual(self.run_script("needs", "-p", "launcher").stdout, "servers\n")

    def test_wrong_arguments_are_an_error(self):
        result = self.run_script("feature", "svm")
        self.assertEqual(result.returncode, 1)
        self.assertIn("help: ", result.stderr)


if __name__ == "__main__":
    unittest.main()
