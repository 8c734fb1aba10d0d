"""Tests of bench/comparison on numbers that are known: `comparison.py` runs them all."""

import json
import pathlib
import random
import sys
import tempfile
import types
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from comparison import cli, money, scores, summary, svg, tables  # noqa: E402
from comparison.contests import BY_NAME, FULL, SMOKE  # noqa: E402
from comparison.jobs import OURS, TWIN, Job  # noqa: E402
from comparison.plan import Plan  # noqa: E402
from comparison.rows import Data, read, write  # noqa: E402
from comparison.runner import Runner  # noqa: E402
from comparison.sections import SECTIONS  # noqa: E402
from comparison.store import Store  # noqa: E402
from comparison.tools import Missing, Tools  # noqa: E402
from measure import exponent  # noqa: E402


def plan_of(*names, kind=FULL, **fields):
    defaults = {"contests": [BY_NAME[name] for name in names], "data_sets": ["imdb", "sms_spam"], "first": "imdb",
                "first_rows": 25_000, "pairs": 2, "threads": 2, "sections": SECTIONS}
    return Plan(kind=kind, **defaults | fields)


def line(job, seconds, **facts):
    return job.fields() | {"wall_seconds": seconds, "cpu_seconds": 2 * seconds, "peak_bytes": 10**6 * seconds, "load": 0} | facts


class Scores(unittest.TestCase):
    def test_macro_f1_counts_classes_that_are_only_predicted(self):
        # a: 2 * 1 / 3; b: 2 * 1 / 3; c, never true: 0.
        seen = scores.cells(["a", "a", "b"], ["a", "c", "b"])
        self.assertAlmostEqual(scores.macro_f1(seen), (2 / 3 + 1 + 0) / 3)
        self.assertAlmostEqual(scores.accuracy(seen), 2 / 3)

    def test_an_interval_holds_the_binomial_one(self):
        draw = random.Random(1)
        truth = [draw.choice("ab") for _ in range(2_000)]
        wrong = [label if draw.random() < 0.8 else "x" for label in truth]
        found = scores.bootstrap(truth, wrong, truth)
        low, high = found["accuracy", "ours"]
        # 1.96 * sqrt(0.8 * 0.2 / 2000) is 0.0175 to each side.
        self.assertAlmostEqual(high - low, 0.035, delta=0.006)
        self.assertTrue(low < scores.accuracy(scores.cells(truth, wrong)) < high)
        self.assertEqual(found["accuracy", "twin"], (1.0, 1.0))

    def test_equal_answers_differ_by_nothing_in_every_draw(self):
        truth, found = list("aabb") * 20, list("abab") * 20
        self.assertEqual(scores.bootstrap(truth, found, found)["macro_f1", "difference"], (0.0, 0.0))

    def test_ratios_are_of_pairs_that_both_sides_have(self):
        self.assertEqual(scores.pair_ratios({0: 1, 1: 2, 2: 9}, {0: 2, 1: 2}), (0.75, 0.5, 1.0))
        self.assertIsNone(scores.pair_ratios({0: 1}, {1: 1}))

    def test_exponent(self):
        self.assertAlmostEqual(exponent([(x, 3 * x**1.5) for x in (10, 100, 1_000)]), 1.5)


class Turns(unittest.TestCase):
    def test_sides_change_who_goes_first(self):
        turns = [turn for turn in plan_of("svm-sgd").turns if len(turn.jobs) == 6 and turn.jobs[0].data == "imdb"]
        self.assertEqual([turn.jobs[0].side for turn in turns], [OURS, TWIN])

    def test_growth_shares_the_run_on_all_rows(self):
        plan = plan_of("svm-sgd")
        self.assertEqual(plan.growth(BY_NAME["svm-sgd"]), [1_000, 5_000, None])
        self.assertIn("synthetic", {job.data for turn in plan.turns for job in turn.jobs})

    def test_networks_are_limited_unless_told_otherwise(self):
        contest = BY_NAME["bilstm"]
        self.assertEqual(plan_of("bilstm").growth(contest), [contest.limit // 4, contest.limit // 2, None])
        self.assertEqual(plan_of("bilstm", all_rows=True).growth(contest), [1_000, 5_000, None])
        self.assertIsNone(plan_of("bilstm", all_rows=True).test_rows(contest))

    def test_lengths_have_one_epoch_and_two(self):
        turns = [turn for turn in plan_of("transformer").turns if turn.jobs[0].length == 64]
        self.assertEqual([(job.side, job.epochs) for job in turns[0].jobs], [(OURS, 1), (TWIN, 1), (OURS, 2), (TWIN, 2)])


class InFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)


class Resumption(InFolder):
    def test_a_torn_line_is_measured_again_and_swallows_nothing(self):
        job = Job("svm-sgd", OURS, "train", "imdb", 0, 2)
        whole = json.dumps(line(job, 1.0))
        (self.folder / "raw.jsonl").write_text(whole + "\n" + whole[:40])
        store = Store(self.folder)
        self.assertEqual(list(store.done), [job])
        other = Job("svm-sgd", TWIN, "train", "imdb", 0, 2)
        store.append(line(other, 3.0))
        self.assertEqual(set(Store(self.folder).done), {job, other})

    def runner(self, store, budget=None):
        """One that notes what it would have run."""
        data = types.SimpleNamespace(megabytes=lambda *_: 1.0)
        runner = Runner(plan_of("svm-sgd"), store, types.SimpleNamespace(has=lambda _: True), data, budget, 1, {})
        ran = []
        runner.run_job = lambda job: (ran.append(job), store.append(line(job, 1.0)))
        return runner, ran

    def test_what_is_there_is_not_measured_again(self):
        store = Store(self.folder)
        runner, first = self.runner(store)
        runner.run(runner.plan.turns)
        self.assertEqual(len(first), len(set(first)))
        runner, again = self.runner(Store(self.folder))
        runner.run(runner.plan.turns)
        self.assertEqual(again, [])

    def test_a_turn_that_is_part_of_another_is_left_to_it(self):
        runner, _ = self.runner(Store(self.folder))
        jobs = [set(turn.jobs) for turn in runner.possible(runner.plan.turns)]
        self.assertFalse(any(one < other for one in jobs for other in jobs))
        self.assertEqual(set().union(*jobs), {job for turn in runner.plan.turns for job in turn.jobs})

    def test_nothing_starts_that_does_not_fit_into_the_budget(self):
        runner, ran = self.runner(Store(self.folder), budget=1e-9)
        runner.run(runner.plan.turns)
        self.assertEqual(ran, [])
        self.assertIn("does not fit into the budget", {why for _, _, why in runner.left_out})


class Tables(InFolder):
    def filled(self):
        store, plan = Store(self.folder), plan_of("svm-sgd", data_sets=["imdb"])
        for pair in range(2):
            for side, seconds in ((OURS, 1.0 + pair), (TWIN, 4.0)):
                for what in ("train", "predict", "one"):
                    job = Job("svm-sgd", side, what, "imdb", pair, 2)
                    facts = {"test_rows": 4, "accuracy": 0.75, "macro_f1": 0.7, "labels": ["neg", "pos"], "truth": "0011",
                             "predicted": "0111" if side == OURS else "0011"}
                    store.append(line(job, seconds, **facts if what == "predict" else {"model_bytes": 10}))
        for rows, seconds in ((1_000, 0.1), (5_000, 0.5)):
            for side in (OURS, TWIN):
                store.append(line(Job("svm-sgd", side, "train", "imdb", 0, 2, rows=rows), seconds))
        return store, plan

    def test_ratios_and_rates(self):
        store, plan = self.filled()
        rows = "\n".join(tables.whole(store, plan, plan.contests[0]))
        self.assertIn("| imdb: train, wall | 1.5 s | 4 s | 1/2.67 (1/4 to 1/2) | 2 |", rows)
        self.assertIn("| imdb: predict, rows per second | 2.67 | 1 | | 2 |", rows)
        self.assertIn("imdb: accuracy | 0.7500 (", rows)

    def test_labels_of_each_side_have_numbers_of_their_own(self):
        store, plan = self.filled()
        twin = store.lines(side=TWIN, what="predict", pair=0)[0]
        # The same answers, numbered among three labels.
        twin |= {"labels": ["a", "neg", "pos"], "truth": "1122", "predicted": "1122"}
        row = tables.score_rows(store, plan, plan.contests[0], "imdb")[0]
        self.assertIn("| 0.7500 (1.0000 to 1.0000) |", row)

    def test_a_busy_machine_is_said(self):
        store, plan = self.filled()
        self.assertEqual(summary.load_said(store, plan), [])
        for found in store.done.values():
            found["load"] = 7.5
        self.assertIn("median load 7.5 on 2 threads", summary.load_said(store, plan)[0])

    def test_losses_are_bold(self):
        self.assertEqual(tables.times(1.25), "**1.25**")
        self.assertEqual(tables.times(0.5), "1/2")

    def test_growth_ends_with_exponents(self):
        store, plan = self.filled()
        rows = tables.growth(store, plan, plan.contests[0])
        self.assertTrue(rows[2].startswith("| 1,000 | 0.1 s | 0.1 s |"), rows[2])
        found = float(rows[5].split("|")[2])
        self.assertAlmostEqual(found, exponent([(1_000, 0.1), (5_000, 0.5), (25_000, 1.5)]), places=2)
        self.assertEqual(len(rows), 6)

    def test_a_job_costs_pull_and_training(self):
        prices = {"usd_per_hour": {"x": 3.6}, "instance": {"cpu": "x"}, "pull_bytes_per_second": 100}
        self.assertEqual(money.job(1_000, 20, prices, "cpu"), (10, 20, 0.03))
        store, plan = self.filled()
        sizes = {"svm-sgd": {OURS: {"bytes": 100}, TWIN: {"bytes": 1_600}}}
        rows = money.money_table(store, plan, plan.contests, sizes, prices | {"pull_bytes_per_second": 100})
        self.assertIn("| 1.0 s | 1.5 s | 2.50 | 1/8 |", rows[2])

    def test_files_of_prices_and_images_have_what_is_asked_of_them(self):
        prices, images = money.newest("prices"), money.newest("images")
        self.assertIn(prices["instance"]["cpu"], prices["usd_per_hour"])
        self.assertIn(prices["instance"]["cuda"], prices["usd_per_hour"])
        self.assertTrue(all(image["source"] and image["bytes"] > 0 for image in images["official"].values()))

    def test_plots_are_xml_with_a_line_for_each_side(self):
        store, plan = self.filled()
        found = summary.plots(store, plan)
        self.assertEqual(set(found), {"growth-wall.svg", "growth-memory.svg"})
        tree = xml.etree.ElementTree.fromstring(found["growth-wall.svg"])
        self.assertEqual(len(tree.findall("{http://www.w3.org/2000/svg}polyline")), 2)
        self.assertIsNone(svg.plot("nothing", "x", "y", [("a", False, 0, [])]))

    def test_readme_keeps_what_is_around_its_marks(self):
        text = f"before\n{summary.START}\nold\n{summary.END}\nafter\n"
        new = summary.put_into_readme(text, ["new"])
        self.assertEqual(new, f"before\n{summary.START}\n\nnew\n{summary.END}\nafter\n")
        self.assertEqual(summary.put_into_readme(new, ["new"]), new)
        self.assertIsNone(summary.put_into_readme("no marks", ["new"]))


class Rows(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        folder = pathlib.Path(folder.name)
        (folder / "data/imdb").mkdir(parents=True)
        for part in ("train", "test"):
            rows = [[f"word{n} " * (n + 1), "a" if n < 50 else "b"] for n in range(100)]
            write(folder / f"data/imdb/{part}.csv", ["text", "label"], rows)
        self.data = Data(folder / "data", folder / "work")

    def test_a_sample_of_a_sorted_file_has_all_labels(self):
        self.assertEqual(self.data.names, ["imdb"])
        self.assertEqual(set(self.data.labels("imdb", "train", 20)), {"a", "b"})
        self.assertEqual(len(self.data.labels("imdb", "train", 20)), 20)

    def test_synthetic_rows_have_the_words_of_real_ones(self):
        made = read(self.data.file("synthetic", "train", 300))[1:]
        real = {(" ".join(sorted(text.split())), label) for text, label in read(self.data.file("imdb", "train"))[1:]}
        self.assertEqual(len(made), 300)
        self.assertLessEqual({(" ".join(sorted(text.split())), label) for text, label in made}, real)

    def test_long_rows_and_malformed_ones(self):
        long = read(self.data.file("long", "train", 40, 60))[1:]
        self.assertTrue(len(long) == 40 and all(len(text.split()) >= 60 for text, _ in long))
        wide = [row for row in read(self.data.file("malformed", "train"))[1:] if len(row) == 3]
        self.assertEqual(len(wide), 5)


class Commands(unittest.TestCase):
    def test_what_replaces_a_flag_does_not_stand_beside_it(self):
        tools = Tools(None, SMOKE, "cpu", None, pathlib.Path("work"))
        flags = tools.flags(BY_NAME["transformer"], Job("transformer", OURS, "train", "long", 0, 2, rows=4, length=64, epochs=2))
        self.assertEqual([flags.count(flag) for flag in ("--max-len", "--epochs")], [1, 1])
        self.assertEqual((flags[flags.index("--max-len") + 1], flags[flags.index("--epochs") + 1]), (64, 2))

    def test_without_a_gpu_the_gpu_page_is_refused(self):
        found, cli.gpu = cli.gpu, lambda: False
        self.addCleanup(setattr, cli, "gpu", found)
        with self.assertRaisesRegex(SystemExit, "no NVIDIA GPU.*\nhelp: "):
            cli.check(cli.parser().parse_args(["--device", "cuda", "--smoke"]))

    def test_on_a_gpu_networks_alone_learn_from_all_rows(self):
        args = cli.parser().parse_args(["--device", "cuda", "--smoke"])
        data = types.SimpleNamespace(names=["movie"], first="movie", count=lambda *_: 480)
        plan = cli.plan_of(args, data, 2)
        self.assertEqual([contest.name for contest in plan.contests], ["bilstm", "transformer"])
        self.assertTrue(plan.all_rows)
        tools = Tools(None, SMOKE, "cuda", None, pathlib.Path("work"))
        tools.found |= {"bilstm": "bilstm"}
        command = tools.command(Job("bilstm", OURS, "one", "movie", 0, 2), None)
        self.assertEqual(command[-2:], ["--device", "cuda"])

    def test_a_missing_binary_names_the_way_out(self):
        tools = Tools(pathlib.Path("/nowhere"), FULL, "cpu", None, pathlib.Path("work"))
        with self.assertRaisesRegex(Missing, "help: cargo build --release -p svm"):
            tools.need(BY_NAME["svm-sgd"])


if __name__ == "__main__":
    unittest.main(buffer=True)
