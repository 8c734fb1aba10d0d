"""Tests of tests/links.py."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "links.py"
sys.path.insert(0, str(SCRIPT.parent))
import links


class Links(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def check(self, *paths):
        return subprocess.run(
            [sys.executable, "-B", SCRIPT, *paths], capture_output=True, text=True
        )

    def test_links_to_files_and_headings_are_found(self):
        self.write("docs/guide.md", "# A `svm` guide: 1st steps\n\n## Twice\n\n## Twice\n")
        readme = self.write(
            "README.md",
            "# Top\n[a](docs/guide.md) [b](docs/guide.md#a-svm-guide-1st-steps) [c](#top)\n"
            "[d](docs/guide.md#twice-1) [e](https://example.org/x#y) ![f](docs/guide.md)\n"
            "[g]: docs/guide.md\n[h](docs/guide.md 'title')\n",
        )
        result = self.check(readme, self.folder / "docs/guide.md")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, "8 links in 2 files, 0 broken\n")

    def test_missing_files_and_headings_are_errors(self):
        self.write("guide.md", "# Guide\n")
        readme = self.write(
            "README.md", "[a](nowhere.md)\n\n[b](guide.md#nothing) [c](#nothing)\n[d]: missing.md\n"
        )
        result = self.check(readme)
        self.assertEqual(result.returncode, 1)
        for part in [
            "README.md:1: `nowhere.md`: no file `nowhere.md`",
            "README.md:3: `guide.md#nothing`: no heading `#nothing`",
            "README.md:3: `#nothing`: no heading `#nothing`",
            "README.md:4: `missing.md`: no file `missing.md`",
        ]:
            self.assertIn(part, result.stderr)
        self.assertIn("4 links in 1 files, 4 broken", result.stdout)

    def test_code_has_no_links(self):
        text = "`[a](x.md)` ``[b](`y.md`)``\n```sh\n[c](z.md)\n# not a heading\n```\n[d](d.md)\n"
        self.assertEqual(list(links.links(text)), [(6, "d.md")])
        readme = self.write("README.md", "```\n# code\n```\n[a](#code)\n")
        self.assertEqual(self.check(readme).returncode, 1)

    def test_linked_images_have_two_targets(self):
        found = [target for _, target in links.links("[![badge](badge.svg)](page.md#a)\n")]
        self.assertEqual(sorted(found), ["badge.svg", "page.md#a"])

    def test_ids_of_html_are_anchors(self):
        page = self.write("page.md", '<a id="exit-codes"></a>\n[a](#exit-codes)\n')
        self.assertEqual(self.check(page).returncode, 0)

    def test_slugs_are_those_of_github(self):
        self.assertEqual(links.slug("What's `--tune`, and why?"), "whats---tune-and-why")
        self.assertEqual(links.slug("The [book](x.md) & more"), "the-book--more")
        self.assertEqual(links.slug("Größe"), "größe")


if __name__ == "__main__":
    unittest.main()
