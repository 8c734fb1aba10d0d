"""Tests of tests/readme_commands."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "readme_commands"


class ReadmeCommands(unittest.TestCase):
    def run_files(self, *texts, options=()):
        with tempfile.TemporaryDirectory() as folder:
            paths = [pathlib.Path(folder, f"{number}.md") for number in range(len(texts))]
            for path, text in zip(paths, texts, strict=True):
                path.write_text(text, encoding="utf-8")
            command = [sys.executable, "-B", SCRIPT, *paths, *options]
            return subprocess.run(command, capture_output=True, text=True)

    def test_console_blocks_run_the_lines_with_a_prompt(self):
        result = self.run_files(
            "```console\n$ echo one \\\n    two\nprinted: false\n$ echo three\n```\n"
        )
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("one two\nthree\n", result.stdout)
        self.assertIn("2 commands, 0 blocks failed", result.stdout)

    def test_a_failing_command_of_a_console_block_is_an_error(self):
        result = self.run_files("```console\n$ false\n$ true\n```\n")
        self.assertEqual(result.returncode, 1)
        self.assertIn("1 blocks failed", result.stdout)

    def test_files_share_one_copy(self):
        first = "```sh\ntest ! -e made.txt\ntouch made.txt\n```\n"
        second = "```sh\ntest -e made.txt\n```\n"
        result = self.run_files(first, "no command here\n", second)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("3 commands, 0 blocks failed", result.stdout)
        self.assertEqual(self.run_files(second, first).returncode, 1)

    def test_list_runs_nothing(self):
        result = self.run_files("```sh\nfalse\n```\n", options=["--list", "--aws"])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("$ false", result.stdout)


if __name__ == "__main__":
    unittest.main()
