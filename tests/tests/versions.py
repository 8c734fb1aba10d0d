"""Tests of tests/versions.py."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import versions


class Versions(unittest.TestCase):
    def test_a_missing_patch_number_is_zero(self):
        self.assertEqual(versions.differences({"a": "1.95.0", "b": "1.95", "c": "1.95.0"}), [])

    def test_other_versions_are_errors(self):
        errors = versions.differences({"a": "1.95.0", "b": "1.94", "c": "1.95.1", "d": None})
        self.assertEqual(len(errors), 3)
        self.assertIn("`b` has Rust 1.94, `a` has 1.95.0", errors)

    def test_every_file_has_a_version(self):
        self.assertNotIn(None, versions.found(versions.ROOT).values())


if __name__ == "__main__":
    unittest.main()
