"""Tests of bench/comparison."""

import dataclasses
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import types
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import measure
from comparison import cli, cost, environment, own, scores, script, summary, svg, tables, tools
from comparison.cases import BY_NAME, FULL, SMOKE
from comparison.jobs import BASELINE, OURS, Job
from comparison.plan import Plan
from comparison.rows import Data, read, write
from comparison.runner import Runner
from comparison.sections import SECTIONS
from comparison.store import Store
from comparison.tools import Missing, Tools
from measure import Failed, exponent, floor_bytes, measured


def plan_of(*names, kind=FULL, **fields):
    defaults = {
        "cases": [BY_NAME[name] for name in names],
        "data_sets": ["imdb", "sms_spam"],
        "first": "imdb",
        "first_rows": 25_000,
        "pairs": 2,
        "threads": 2,
        "sections": SECTIONS,
    }
    return Plan(kind=kind, **defaults | fields)


def line(job, seconds, **facts):
    return (
        job.fields()
        | {
            "wall_seconds": seconds,
            "cpu_seconds": 2 * seconds,
            "peak_bytes": 10**6 * seconds,
            "load": 0,
        }
        | facts
    )


class Scores(unittest.TestCase):
    def test_macro_f1_counts_classes_that_are_only_predicted(self):
        # a: 2 * 1 / 3; b: 2 * 1 / 3; c, never true: 0.
        seen = scores.cells(["a", "a", "b"], ["a", "c", "b"])
        self.assertAlmostEqual(scores.macro_f1(seen), (2 / 3 + 1 + 0) / 3)
        self.assertAlmostEqual(scores.accuracy(seen), 2 / 3)

    def test_bootstrap_interval_agrees_with_binomial_interval(self):
        draw = random.Random(1)
        truth = [draw.choice("ab") for _ in range(2_000)]
        wrong = [label if draw.random() < 0.8 else "x" for label in truth]
        found = scores.bootstrap(truth, [wrong], [truth])
        low, high = found["accuracy", "ours"]
        # 1.96 * sqrt(0.8 * 0.2 / 2000) is 0.0175 to each side.
        self.assertAlmostEqual(high - low, 0.035, delta=0.006)
        self.assertTrue(low < scores.accuracy(scores.cells(truth, wrong)) < high)
        self.assertEqual(found["accuracy", "baseline"], (1.0, 1.0))

    def test_equal_answers_have_no_difference(self):
        truth, found = list("aabb") * 20, list("abab") * 20
        self.assertEqual(
            scores.bootstrap(truth, [found], [found])["macro_f1", "difference"], (0.0, 0.0)
        )

    def test_a_score_is_the_mean_of_its_runs(self):
        truth, wrong = list("ab") * 50, list("ba") * 50
        found = scores.bootstrap(truth, [truth, wrong], [truth])
        self.assertEqual(found["accuracy", "ours"], (0.5, 0.5))
        self.assertEqual(found["accuracy", "difference"], (-0.5, -0.5))

    def test_ratios_are_of_pairs_that_both_sides_have(self):
        self.assertEqual(scores.pair_ratios({0: 1, 1: 2, 2: 9}, {0: 2, 1: 2}), (0.75, 0.5, 1.0))
        self.assertIsNone(scores.pair_ratios({0: 1}, {1: 1}))

    def test_exponent(self):
        self.assertAlmostEqual(exponent([(x, 3 * x**1.5) for x in (10, 100, 1_000)]), 1.5)


class Turns(unittest.TestCase):
    def test_first_side_alternates(self):
        turns = [
            turn
            for turn in plan_of("svm-sgd").turns
            if len(turn.jobs) == 6 and turn.jobs[0].data == "imdb"
        ]
        self.assertEqual([turn.jobs[0].side for turn in turns], [OURS, BASELINE])

    def test_growth_shares_the_run_on_all_rows(self):
        plan = plan_of("svm-sgd")
        self.assertEqual(plan.growth(BY_NAME["svm-sgd"]), [1_000, 5_000, None])
        self.assertIn("synthetic", {job.data for turn in plan.turns for job in turn.jobs})

    def test_networks_have_fewer_rows_by_default(self):
        case = BY_NAME["bilstm"]
        self.assertEqual(plan_of("bilstm").growth(case), [case.limit // 4, case.limit // 2, None])
        self.assertEqual(plan_of("bilstm", all_rows=True).growth(case), [1_000, 5_000, None])
        self.assertIsNone(plan_of("bilstm", all_rows=True).test_rows(case))

    def test_lengths_have_one_epoch_and_two(self):
        turns = [turn for turn in plan_of("transformer").turns if turn.jobs[0].length == 64]
        self.assertEqual(len(turns), 1)  # of a transformer, one pair
        self.assertEqual(
            [(job.side, job.epochs) for job in turns[0].jobs],
            [(OURS, 1), (BASELINE, 1), (OURS, 2), (BASELINE, 2)],
        )

    def test_one_thread_and_all_threads_share_a_turn(self):
        for name, rows in (("svm-sgd", 25_000), ("transformer", 500)):
            turns = [turn for turn in plan_of(name).turns if turn.jobs[0].threads == 1]
            self.assertEqual(
                [(job.side, job.threads) for job in turns[0].jobs],
                [(OURS, 1), (BASELINE, 1), (OURS, 2), (BASELINE, 2)],
            )
            # Never the run on all rows that other sections share.
            self.assertEqual({job.rows for job in turns[0].jobs}, {rows})


class InFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)


class Resumption(InFolder):
    def test_truncated_line_is_measured_again(self):
        job = Job("svm-sgd", OURS, "train", "imdb", 0, 2)
        whole = json.dumps(line(job, 1.0))
        (self.folder / "raw.jsonl").write_text(whole + "\n" + whole[:40])
        store = Store(self.folder)
        self.assertEqual(list(store.done), [job])
        other = Job("svm-sgd", BASELINE, "train", "imdb", 0, 2)
        store.append(line(other, 3.0))
        self.assertEqual(set(Store(self.folder).done), {job, other})

    def runner(self, store, budget=None):
        """One that notes what it would have run."""
        data = types.SimpleNamespace(megabytes=lambda *_: 1.0)
        runner = Runner(
            plan_of("svm-sgd"),
            store,
            types.SimpleNamespace(has=lambda _: True),
            data,
            budget,
            1,
            {},
        )
        ran = []
        runner.run_job = lambda job: (ran.append(job), store.append(line(job, 1.0)))
        return runner, ran

    def test_finished_jobs_are_not_measured_again(self):
        store = Store(self.folder)
        runner, first = self.runner(store)
        runner.run(runner.plan.turns)
        self.assertEqual(len(first), len(set(first)))
        runner, again = self.runner(Store(self.folder))
        runner.run(runner.plan.turns)
        self.assertEqual(again, [])

    def test_turns_contained_in_others_are_dropped(self):
        runner, _ = self.runner(Store(self.folder))
        jobs = [set(turn.jobs) for turn in runner.possible(runner.plan.turns)]
        self.assertFalse(any(one < other for one in jobs for other in jobs))
        self.assertEqual(
            set().union(*jobs), {job for turn in runner.plan.turns for job in turn.jobs}
        )

    def test_jobs_beyond_the_time_limit_are_skipped(self):
        runner, ran = self.runner(Store(self.folder), budget=1e-9)
        runner.run(runner.plan.turns)
        self.assertEqual(ran, [])
        self.assertIn("does not fit into the budget", {why for _, _, why in runner.left_out})


class Tables(InFolder):
    def filled(self):
        store, plan = Store(self.folder), plan_of("svm-sgd", data_sets=["imdb"])
        for pair in range(2):
            for side, seconds in ((OURS, 1.0 + pair), (BASELINE, 4.0)):
                for what in ("train", "predict", "one"):
                    taken = seconds / 4 if what == "one" else seconds
                    job = Job("svm-sgd", side, what, "imdb", pair, 2)
                    facts = {
                        "test_rows": 4,
                        "accuracy": 0.75,
                        "macro_f1": 0.7,
                        "labels": ["neg", "pos"],
                        "truth": "0011",
                        "predicted": "0111" if side == OURS else "0011",
                    }
                    store.append(
                        line(
                            job,
                            taken,
                            floor_bytes=1,
                            **facts if what == "predict" else {"model_bytes": 10},
                        )
                    )
        for rows, seconds in ((1_000, 0.1), (5_000, 0.5)):
            for side in (OURS, BASELINE):
                store.append(line(Job("svm-sgd", side, "train", "imdb", 0, 2, rows=rows), seconds))
        return store, plan

    def test_ratios_and_rates(self):
        store, plan = self.filled()
        rows = "\n".join(tables.whole(store, plan, plan.cases[0]))
        self.assertIn("| imdb: train, wall | 1.5 s | 4 s | 1/2.67 (1/4 to 1/2) | 2 |", rows)
        # Predicting takes 3/4 and 6/4 s longer than one text; of the baseline, 3 s. Times for one
        # text differ by 1/4 s.
        self.assertIn(
            "| imdb: predict, rows per second after start-up | 3.56 | 1.33 | 1/2.67 (1/4 to 1/2) "
            "| 2 |",
            rows,
        )
        self.assertIn("imdb: accuracy | 0.7500 (", rows)
        self.assertIn(
            "| imdb: train, peak memory | 1.5 MB | 4 MB | 1/2.67 (1/4 to 1/2) | 2 |", rows
        )

    def test_rates_below_start_up_noise_are_not_shown(self):
        store, plan = self.filled()
        for found in store.lines(side=OURS, what="predict"):
            found["wall_seconds"] = 0.55
        rows = "\n".join(tables.whole(store, plan, plan.cases[0]))
        self.assertIn("rows per second after start-up | too short to tell | 1.33 |  | 2 |", rows)

    def test_peaks_near_the_floor_are_shown_as_bounds(self):
        store, plan = self.filled()
        for found in store.lines(side=OURS, what="train"):
            found |= {"peak_bytes": 8_700_000, "floor_bytes": 8_600_000}
        for found in store.lines(side=BASELINE, what="train"):
            found["peak_bytes"] = 87_000_000
        rows = "\n".join(tables.whole(store, plan, plan.cases[0]))
        self.assertIn("| imdb: train, peak memory | below 9 MB | 87 MB | below 1/10 | 2 |", rows)
        # Lines of before know no floor: it was 8.6 MB.
        for found in store.lines(side=OURS, what="train"):
            del found["floor_bytes"]
        self.assertIn(
            "below 9 MB | 87 MB | below 1/10 |", "\n".join(tables.whole(store, plan, plan.cases[0]))
        )

    def test_pairs_without_both_sides_are_ignored(self):
        store, plan = self.filled()
        store.append(line(Job("svm-sgd", OURS, "train", "imdb", 2, 2), 99.0, model_bytes=10))
        rows = "\n".join(tables.whole(store, plan, plan.cases[0]))
        self.assertIn("| imdb: train, wall | 1.5 s | 4 s | 1/2.67 (1/4 to 1/2) | 2 |", rows)

    def test_thread_table_has_speed_ups_by_pair(self):
        store, plan = self.filled()
        for pair, (one, many) in enumerate([(4.0, 2.0), (6.0, 2.0)]):
            for side in (OURS, BASELINE):
                for count, seconds in ((1, one), (2, many)):
                    job = Job("svm-sgd", side, "train", "imdb", pair, count, rows=25_000)
                    store.append(
                        line(
                            job,
                            seconds if side == OURS else 3.0,
                            weights="same" if count == 1 or pair == 0 else "other",
                        )
                    )
        rows = tables.threads(store, plan, plan.cases[0])
        self.assertEqual(rows[2], "| 1 | 5 s | 3 s | 10 s | 6 s |  |  |")
        self.assertEqual(rows[3], "| 2 | 2 s | 3 s | 4 s | 6 s | 2.50 (2.00 to 3.00) | 1.00 |")
        self.assertIn("**not byte-identical**", rows[5])

    def with_lengths(self, ours):
        """`ours`: (one epoch, two) of each pair; the baseline takes 2 and 4 s."""
        store, plan = Store(self.folder), plan_of("transformer")
        for pair, both in enumerate(ours):
            for side, taken in ((OURS, both), (BASELINE, (2.0, 4.0))):
                for epochs, seconds in zip((1, 2), taken):
                    store.append(
                        line(
                            Job(
                                "transformer",
                                side,
                                "train",
                                "long",
                                pair,
                                2,
                                rows=plan.length_rows(64),
                                length=64,
                                epochs=epochs,
                            ),
                            seconds,
                        )
                    )
        return store, plan

    def test_length_table_uses_the_second_epoch(self):
        store, plan = self.with_lengths([(1.0, 2.0), (1.0, 1.5)])
        self.assertEqual(
            tables.length_points(store, plan, plan.cases[0], BASELINE), [(64, 4_096 / 2)]
        )
        self.assertEqual(
            tables.lengths(store, plan, plan.cases[0])[2:],
            ["| 64 | 5,461 | 2,048 | 1/2.67 (1/4 to 1/2) | 2 |"],
        )

    def test_second_epochs_without_cost_are_reported(self):
        store, plan = self.with_lengths([(1.0, 2.0), (1.0, 0.9)])
        self.assertIn(
            "| 64 | 4,096 (1 of 2 pairs not measurable) | 2,048 | 1/2 | 2 |",
            tables.lengths(store, plan, plan.cases[0]),
        )
        store, plan = self.with_lengths([(1.0, 0.9), (1.0, 0.9)])
        self.assertIn(
            "| 64 | not measurable | 2,048 | not measurable | 2 |",
            tables.lengths(store, plan, plan.cases[0]),
        )

    def test_variants_have_scores_where_they_predict(self):
        store, plan = Store(self.folder), plan_of("svm-linearsvc", data_sets=["imdb"])
        job = Job("svm-linearsvc", OURS, "train", "imdb", 0, 2, variant="--tune")
        store.append(line(job, 2.0))
        self.assertIn(
            "| --tune | imdb | 2 s | 4 s | 2 MB |  |  |",
            tables.variants(store, plan, plan.cases[0]),
        )
        store.append(
            line(dataclasses.replace(job, what="predict"), 1.0, accuracy=0.9, macro_f1=0.8)
        )
        self.assertIn(
            "| --tune | imdb | 2 s | 4 s | 2 MB | 0.9000 | 0.8000 |",
            tables.variants(store, plan, plan.cases[0]),
        )

    def test_synthetic_rows_have_their_own_exponent(self):
        store, plan = self.filled()
        for side in (OURS, BASELINE):
            store.append(
                line(Job("svm-sgd", side, "train", "synthetic", 0, 2, rows=1_000_000), 60.0)
            )
        rows = tables.growth(store, plan, plan.cases[0])
        self.assertTrue(rows[5].startswith("| 1,000,000, synthetic | 60 s | 60 s |"), rows[5])
        self.assertTrue(
            rows[7].startswith("| exponent, from there to 1,000,000 | 1.00 | 0.73 |"), rows[7]
        )

    def test_each_side_has_its_own_label_numbers(self):
        store, plan = self.filled()
        baseline = store.lines(side=BASELINE, what="predict", pair=0)[0]
        # The same answers, numbered among three labels.
        baseline |= {"labels": ["a", "neg", "pos"], "truth": "1122", "predicted": "1122"}
        row = tables.score_rows(store, plan, plan.cases[0], "imdb")[0]
        self.assertIn("| 0.7500 (1.0000 to 1.0000) |", row)

    def test_high_load_is_reported(self):
        store, plan = self.filled()
        self.assertEqual(summary.load_warning(store, plan), [])
        for found in store.done.values():
            found["load"] = 7.5
        self.assertIn("median load 7.5 on 2 threads", summary.load_warning(store, plan)[0])

    def test_losses_are_bold(self):
        self.assertEqual(tables.times(1.25), "**1.25**")
        self.assertEqual(tables.times(0.5), "1/2")
        self.assertEqual(tables.times(1), "1.00")

    def test_growth_ends_with_exponents(self):
        store, plan = self.filled()
        rows = tables.growth(store, plan, plan.cases[0])
        self.assertTrue(rows[2].startswith("| 1,000 | 0.1 s | 0.1 s |"), rows[2])
        found = float(rows[5].split("|")[2])
        self.assertAlmostEqual(
            found, exponent([(1_000, 0.1), (5_000, 0.5), (25_000, 1.5)]), places=2
        )
        self.assertEqual(len(rows), 6)

    def test_a_job_costs_pull_and_training(self):
        prices = {
            "usd_per_hour": {"x": 3.6},
            "instance": {"cpu": "x"},
            "pull_bytes_per_second": 100,
        }
        self.assertEqual(cost.job(1_000, 20, prices, "cpu"), (10, 20, 0.03))
        store, plan = self.filled()
        sizes = {"svm-sgd": {OURS: {"bytes": 100}, BASELINE: {"bytes": 1_600}}}
        rows = cost.cost_table(
            store, plan, plan.cases, sizes, prices | {"pull_bytes_per_second": 100}
        )
        # Of the 1.5 s, 0.375 are start-up. Its pairs cost 2 and 3 of the baseline's 20.
        self.assertIn("| 1.0 s | 0.375 s | 1.1 s | 2.50 | 1/8 (1/10 to 1/6.67) |", rows[2])

    def test_prices_of_other_gpus_are_not_used(self):
        prices = cost.newest("prices")
        self.assertTrue(cost.priced("cpu", prices, ""))
        self.assertTrue(cost.priced("cuda", prices, "NVIDIA A10G, 580.1"))
        self.assertFalse(cost.priced("cuda", prices, "NVIDIA H200, 580.1"))

    def test_images_have_a_ratio(self):
        sizes = {
            "svm-sgd": {
                OURS: {"bytes": 14_000_000},
                BASELINE: {"bytes": 280_000_000, "source": "its packages"},
            }
        }
        self.assertEqual(
            cost.image_table([BY_NAME["svm-sgd"]], sizes)[2],
            "| svm, unigrams, hinge | 14 MB | 280 MB | 1/20 | its packages |",
        )

    def test_price_and_image_files_are_complete(self):
        prices, images = cost.newest("prices"), cost.newest("images")
        self.assertIn(prices["instance"]["cpu"], prices["usd_per_hour"])
        self.assertIn(prices["instance"]["cuda"], prices["usd_per_hour"])
        self.assertTrue(
            all(image["source"] and image["bytes"] > 0 for image in images["official"].values())
        )

    def test_plots_are_xml_with_a_line_for_each_side(self):
        store, plan = self.filled()
        found = summary.plots(store, plan)
        self.assertEqual(set(found), {"growth-wall.svg", "growth-memory.svg"})
        tree = xml.etree.ElementTree.fromstring(found["growth-wall.svg"])
        self.assertEqual(len(tree.findall("{http://www.w3.org/2000/svg}polyline")), 2)
        self.assertIsNone(svg.plot("nothing", "x", "y", [("a", False, 0, [])]))

    def data(self):
        return types.SimpleNamespace(count=lambda *_: 25_000)

    def test_docs_table_names_its_parts_and_missing_ones(self):
        store, plan = self.filled()
        text = summary.contents(store, plan)
        self.assertIn(
            "has all costs and scores with their intervals, growth with the rows, "
            "image sizes and cost; not measured: ",
            text,
        )
        for missing in ("threads of svm-sgd", "variants of svm-sgd", "all of transformer"):
            self.assertIn(missing, text)
        self.assertNotIn("lengths", text)  # an SVM has none
        lines = summary.docs_table(store, plan, self.data(), "bench/runs/x")
        self.assertTrue(lines[0].startswith("`bench/runs/x/summary.md` has all costs"), lines[0])
        self.assertIn("of 25,000 and 25,000 published", " ".join(lines))
        self.assertEqual(sum("train, CPU" in row for row in lines), 1)

    def test_readme_has_one_row_for_each_case(self):
        store, plan = self.filled()
        rows = summary.readme_table(store, plan, self.data(), "docs/benchmarks.md")
        self.assertEqual(
            rows[2],
            "| `svm`, unigrams, hinge | scikit-learn SGDClassifier | 0.750 (0.750) "
            "| 1.5 s (4 s), 2.7× faster | 1.5 MB (4 MB), 2.7× less |",
        )
        self.assertEqual(
            rows[4],
            "IMDB reviews, 25,000 training rows, 2 threads. Bold: Trainyard is worse. "
            "[All results](docs/benchmarks.md)",
        )
        for found in store.lines(side=OURS, what="train"):
            found |= {"wall_seconds": 5.0, "peak_bytes": 10**8}
        rows = summary.readme_table(store, plan, self.data(), "docs/benchmarks.md")
        self.assertIn("| 5 s (4 s), **1.2× slower** | 100 MB (4 MB), **25× more** |", rows[2])

    def test_readme_names_cases_with_fewer_rows(self):
        store, plan = Store(self.folder), plan_of("bilstm", data_sets=["imdb"])
        for side, seconds in ((OURS, 1.0), (BASELINE, 2.0)):
            job = Job("bilstm", side, "train", "imdb", 0, 2)
            store.append(line(job, seconds))
            facts = {"accuracy": 0.5, "macro_f1": 0.5, "labels": ["a", "b"], "truth": "0011"}
            answers = {"predicted": "0111" if side == BASELINE else "1100"}
            store.append(line(dataclasses.replace(job, what="predict"), 1.0, **facts, **answers))
        rows = summary.readme_table(store, plan, self.data(), "docs/benchmarks.md")
        self.assertIn("IMDB reviews, 25,000 training rows (bilstm 2,000), 2 threads.", rows[4])
        # Every answer is wrong, so all of the interval is a loss.
        self.assertIn("| **0.500** (0.500) |", rows[2])

    def test_readme_falls_back_to_another_data_set(self):
        store, plan = Store(self.folder), plan_of("bilstm", data_sets=["imdb", "sms_spam"])
        for side in (OURS, BASELINE):
            job = Job("bilstm", side, "train", "sms_spam", 0, 2)
            store.append(line(job, 1.0))
            scores = {"accuracy": 0.5, "macro_f1": 0.5, "labels": ["a", "b"], "truth": "0011"}
            predict = dataclasses.replace(job, what="predict")
            store.append(line(predict, 1.0, **scores, predicted="0110"))
        rows = summary.readme_table(store, plan, self.data(), "docs/benchmarks.md")
        self.assertTrue(rows[2].startswith("| `bilstm` on SMS spam | PyTorch | 0.500"), rows[2])

    def test_sections_without_a_table_are_reported(self):
        store, plan = self.filled()
        self.assertEqual(
            summary.without_rows(store, plan), ["variants of svm-sgd", "threads of svm-sgd"]
        )
        plan.threads = 1
        self.assertNotIn("threads of svm-sgd", summary.without_rows(store, plan))

    def test_summary_has_all_commits_and_machines(self):
        store, plan = self.filled()
        lines = list(store.done.values())
        lines[0] |= {"commit": "abc", "machine": "a fast one, 64 cores"}
        lines[1]["commit"] = "def-dirty"
        facts = {
            "cpu": "x",
            "cores": 2,
            "gpu": "",
            "images": {"svm-sgd": {OURS: {"bytes": 1}, BASELINE: {"bytes": 2, "source": "y"}}},
        }
        text = summary.summary(store, plan, self.data(), facts, cost.newest("prices"), "2026-11-26")
        self.assertIn("a fast one, 64 cores and x, 2 cores", text)
        self.assertIn("abc (1 lines), def-dirty (1 lines), 14 lines from before", text)
        self.assertIn("of svm: `--validation-split 0 --no-report`", text)

    def test_environment_keeps_entries_of_earlier_runs(self):
        there = {"baselines": {"fastText": {}}, "images": {"bag": {}}, "cpu": "another"}
        (self.folder / "environment.json").write_text(json.dumps(there))
        tools = types.SimpleNamespace(
            has=lambda _: True,
            python=lambda _: pathlib.Path(sys.executable),
            binary=lambda _: sys.executable,
            interpreter=None,
        )
        environment.note(self.folder, plan_of("svm-sgd"), tools, "lent for minutes")
        environment.note(self.folder, plan_of("svm-sgd"), tools)
        found = environment.read(self.folder)
        self.assertEqual(set(found["baselines"]), {"fastText", "scikit-learn SGDClassifier"})
        self.assertEqual(set(found["images"]), {"bag", "svm-sgd"})
        self.assertNotEqual(found["cpu"], "another")
        self.assertEqual(found["note"], "lent for minutes")
        with self.assertRaisesRegex(cost.DataFileError, "help: "):
            environment.read(self.folder / "nowhere")

    def test_default_threads_are_those_of_the_results(self):
        store, _ = self.filled()
        args = cli.parser().parse_args([])
        self.assertEqual(cli.threads_of(args, store), 2)
        args.threads = 5
        self.assertEqual(cli.threads_of(args, store), 5)

    def test_text_around_the_marks_is_kept(self):
        text = f"before\n{summary.START}\nold\n{summary.END}\nafter\n"
        new = summary.put_between_marks(text, ["new"])
        self.assertEqual(new, f"before\n{summary.START}\n\nnew\n{summary.END}\nafter\n")
        self.assertEqual(summary.put_between_marks(new, ["new"]), new)
        self.assertIsNone(summary.put_between_marks("no marks", ["new"]))

    def test_docs_and_readme_have_different_tables(self):
        store, plan = self.filled()
        marks = f"# Page\n{summary.START}\n{summary.END}\n"
        root, cli.ROOT = cli.ROOT, self.folder.resolve()
        self.addCleanup(setattr, cli, "ROOT", root)
        (self.folder / "README.md").write_text(marks)
        page = self.folder / "docs/benchmarks.md"
        page.parent.mkdir(parents=True)
        page.write_text(marks)
        args = cli.parser().parse_args(["--readme", "--docs", str(page)])
        cli.write_documents(args, store, plan, self.data(), self.folder / "bench/runs/x")
        self.assertIn("[All results](docs/benchmarks.md)", (self.folder / "README.md").read_text())
        self.assertNotIn("train, CPU", (self.folder / "README.md").read_text())
        self.assertIn("`bench/runs/x/summary.md` has", page.read_text())
        self.assertIn("train, CPU", page.read_text())
        page.write_text("no marks")
        with self.assertRaisesRegex(SystemExit, "has no lines `<!-- compare -->`.*\nhelp: "):
            cli.write_documents(args, store, plan, self.data(), self.folder / "bench/runs/x")


class OldRuns(InFolder):
    def test_lines_with_the_old_names_are_read(self):
        job = Job("svm-sgd", BASELINE, "train", "imdb", 0, 2)
        fields = job.fields()
        fields["contest"], fields["side"] = fields.pop("case"), "twin"
        (self.folder / "raw.jsonl").write_text(json.dumps(fields | {"wall_seconds": 2.0}) + "\n")
        self.assertEqual(list(Store(self.folder).done), [job])

    def test_environments_with_the_old_names_are_read(self):
        facts = {"twins": {"fastText": {}}, "images": {"bag": {"ours": {}, "twin": {"bytes": 1}}}}
        (self.folder / "environment.json").write_text(json.dumps(facts))
        found = environment.read(self.folder)
        self.assertEqual(found["baselines"], {"fastText": {}})
        self.assertEqual(found["images"], {"bag": {OURS: {}, BASELINE: {"bytes": 1}}})

    def test_every_committed_run_is_read(self):
        for raw in sorted((ROOT / "bench/runs").glob("*-compare*/raw.jsonl")):
            store = Store(raw.parent)
            self.assertEqual(len(store.done), len(raw.read_text().splitlines()), raw)
            self.assertTrue(all(job.case in BY_NAME for job in store.done), raw)


class CleanTree(InFolder):
    def setUp(self):
        super().setUp()
        self.git("init", "--quiet")
        (self.folder / "code.py").write_text("1\n")
        (self.folder / "bench/runs/old").mkdir(parents=True)
        (self.folder / "bench/runs/old/raw.jsonl").write_text("")
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "first")
        self.out = self.folder.resolve() / "bench/runs/new"

    def git(self, *arguments):
        author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", *author, *arguments], cwd=self.folder, check=True)

    def require_commit(self, out):
        measure.require_commit(out, self.folder.resolve())

    def test_results_of_a_commit_are_kept(self):
        (self.folder / "bench/runs/old/raw.jsonl").write_text("{}\n")
        self.out.mkdir()
        (self.out / "raw.jsonl").write_text("{}\n")
        self.require_commit(self.out)

    def test_results_of_a_changed_tree_are_refused(self):
        (self.folder / "code.py").write_text("2\n")
        with self.assertRaisesRegex(SystemExit, "working tree has changes.*\nhelp: commit first"):
            self.require_commit(self.out)
        # Elsewhere they are the user's own.
        self.require_commit(self.folder / "results")
        self.git("commit", "--quiet", "--all", "--message", "second")
        self.require_commit(self.out)

    def test_a_new_file_is_a_change(self):
        (self.folder / "more.py").write_text("1\n")
        with self.assertRaisesRegex(SystemExit, "pass `--out`"):
            self.require_commit(self.out)
        (self.folder / ".git/info/exclude").write_text("more.py\n")
        self.require_commit(self.out)

    def test_scripts_stop_before_they_measure(self):
        found, measure.dirty = measure.dirty, lambda _: True
        self.addCleanup(setattr, measure, "dirty", found)
        out = measure.run_folder("A (fast) Machine", "compare")
        self.assertRegex(out.name, r"^\d{4}-\d\d-\d\d-a-fast-machine-compare$")
        args = cli.parser().parse_args(["--out", str(out)])
        data = types.SimpleNamespace(names=[], first="imdb", count=lambda *_: 1)
        made, cli.Data = cli.Data, lambda *_: data
        self.addCleanup(setattr, cli, "Data", made)
        with self.assertRaisesRegex(SystemExit, "working tree has changes"):
            cli.run(args, self.folder)
        self.assertFalse(out.exists())


class Measuring(InFolder):
    def test_cpu_time_excludes_waiting(self):
        wait = measured([sys.executable, "-c", "import time; time.sleep(0.5)"])
        work = measured(
            [sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"]
        )
        self.assertTrue(wait["wall_seconds"] > 0.5 > wait["cpu_seconds"], wait)
        self.assertTrue(
            work["cpu_seconds"] >= 0.5 and work["wall_seconds"] > 0.9 * work["cpu_seconds"], work
        )

    def test_peak_memory_excludes_the_measuring_process(self):
        self.assertLess(floor_bytes(), 5_000_000)
        much = measured([sys.executable, "-c", "b'x' * 200_000_000"])
        self.assertGreater(much["peak_bytes"], 200_000_000)

    def test_output_and_failures_are_returned(self):
        self.assertEqual(measured(["printf", "a b"])["stdout"], "a b")
        with self.assertRaisesRegex(Failed, "ended with 3:\nno luck"):
            measured(["sh", "-c", "echo no luck >&2; exit 3"])
        with self.assertRaisesRegex(Failed, "ended with 127:\n.*not found"):
            measured(["/no/such/program"])

    def test_lines_have_the_command_and_program(self):
        store, plan = Store(self.folder), plan_of("bilstm")
        tools = Tools(None, FULL, "cpu", None, self.folder)
        tools.found |= {"bilstm": pathlib.Path("/bin/true")}
        requests = []

        def file(*wanted):
            requests.append(wanted)
            return self.folder / "rows.csv"

        data = types.SimpleNamespace(first="imdb", names=["imdb", "sms_spam"], file=file)
        runner = Runner(plan, store, tools, data, None, 1, {"commit": "abc", "floor_bytes": 7})
        runner.run_job(Job("bilstm", OURS, "train", "imdb", 0, 2, rows=8))
        (found,) = Store(self.folder).done.values()
        self.assertEqual(
            (found["commit"], found["floor_bytes"], len(found["program"])), ("abc", 7, 12)
        )
        self.assertTrue(
            found["command"].startswith(
                "true train --train rows.csv --model-dir bilstm-ours --threads 2"
            ),
            found["command"],
        )
        self.assertIn(("imdb", "test", 16), requests)
        for data, scored in [("sms_spam", "sms_spam"), ("long", "imdb")]:
            requests.clear()
            runner.command(Job("bilstm", OURS, "train", data, 0, 2, rows=8))
            self.assertIn((scored, "test", 16), requests)


class Scripts(unittest.TestCase):
    def test_targets_apply_to_the_median_of_pairs(self):
        table = script.Table("ours", "baseline", strict=True)
        self.assertIn(
            "| 0.500 (0.400 to 1.200) | 0.5, met |",
            table.row("a", {0: 4, 1: 5, 2: 12}, {0: 10, 1: 10, 2: 10}, "s", max_ratio=0.5),
        )
        self.assertEqual(script.exit_code(table.missed), 0)
        self.assertIn("**0.4, missed**", table.row("b", {0: 5}, {0: 10}, "s", max_ratio=0.4))
        table.accuracy("c", 0.80, 0.82, -0.01)
        self.assertEqual((len(table.missed), script.exit_code(table.missed)), (2, 1))

    def test_smoke_test_has_no_targets(self):
        table = script.Table("ours", "baseline", strict=False)
        table.row("b", {0: 5}, {0: 10}, "s", max_ratio=0.4)
        self.assertEqual(table.missed, [])

    def test_process_is_killed_after_the_last_pattern(self):
        code = (
            "import sys, time; print('one', file=sys.stderr, flush=True); time.sleep(2); "
            "print('two', file=sys.stderr, flush=True); time.sleep(60)"
        )
        one, two = script.seconds_until([sys.executable, "-c", code], "one", "two")
        self.assertTrue(0.3 <= two - one < 30)
        with self.assertRaisesRegex(SystemExit, "three"):
            script.seconds_until([sys.executable, "-c", "pass"], "three")


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

    def test_sample_of_a_sorted_file_has_all_labels(self):
        self.assertEqual(self.data.names, ["imdb"])
        self.assertEqual(set(self.data.labels("imdb", "train", 20)), {"a", "b"})
        self.assertEqual(len(self.data.labels("imdb", "train", 20)), 20)

    def test_synthetic_rows_have_the_words_of_real_ones(self):
        made = read(self.data.file("synthetic", "train", 300))[1:]
        real = {
            (" ".join(sorted(text.split())), label)
            for text, label in read(self.data.file("imdb", "train"))[1:]
        }
        self.assertEqual(len(made), 300)
        self.assertLessEqual(
            {(" ".join(sorted(text.split())), label) for text, label in made}, real
        )

    def test_long_rows_and_malformed_ones(self):
        long = read(self.data.file("long", "train", 40, 60))[1:]
        self.assertTrue(len(long) == 40 and all(len(text.split()) >= 60 for text, _ in long))
        wide = [row for row in read(self.data.file("malformed", "train"))[1:] if len(row) == 3]
        self.assertEqual(len(wide), 5)


class OwnRows(InFolder):
    """`--train FILE`: the user's own rows."""

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def prepared(self, path, *more):
        made = own.prepare(self.folder / "made", path, *more)
        parts = (read(made.folder / made.name / f"{part}.csv") for part in ("train", "test"))
        return made, *(rows[1:] for rows in parts)

    def test_a_fifth_of_the_texts_is_the_test_set(self):
        # Every text twice.
        rows = "".join(f'"text, {n % 50}",{n % 2}\n' for n in range(100))
        made, train, test = self.prepared(self.file("My rows.csv", "text,label\n" + rows))
        self.assertEqual((made.name, len(train), len(test)), ("my_rows", 80, 20))
        self.assertFalse({text for text, _ in train} & {text for text, _ in test})
        # pandas would read the label 0 as a number.
        self.assertEqual({label for _, label in train}, {"label 0", "label 1"})
        self.assertIn("a fifth of the texts", made.note)
        again = own.prepare(self.folder / "again", self.folder / "My rows.csv")
        self.assertEqual(again.digest, made.digest)

    def test_columns_delimiters_and_formats(self):
        expected = [["a, b", "label x"], ["c", "label y"]]
        for name, text in [
            ("a.csv", 'id,review,stars\n1,"a, b",x\n2,c,y\n'),
            ("b.csv", "stars;review\nx;a, b\ny;c\n"),
            ("c.tsv", "review\tstars\na, b\tx\nc\ty\n"),
            ("d.jsonl", '{"review": "a, b", "stars": "x"}\n\n{"stars": "y", "review": "c"}\n'),
        ]:
            path = self.file(name, text)
            _, train, test = self.prepared(path, path, "review", "stars")
            self.assertEqual((train, test), (expected, expected), name)

    def test_rows_that_cannot_be_compared_are_left_out_and_counted(self):
        train = self.file("imdb.csv", "text,label\na,x\nb,y\n  ,x\nc,\nd\n")
        test = self.file("test.csv", "text,label\na,x\nb,z\n")
        made, rows, tests = self.prepared(train, test)
        self.assertEqual((len(rows), tests), (2, [["a", "label x"]]))
        # Not the name of a known data set.
        self.assertEqual(made.name, "own_imdb")
        self.assertIn("3 rows without text or label", made.note)
        self.assertIn("1 test rows whose label no training row has", made.note)

    def test_files_that_cannot_be_used_have_a_help(self):
        for name, text, message in [
            ("a.csv", "review,stars\nb,c\n", "no columns `text` and `label`.*\nhelp: pass --text"),
            ("a.xlsx", "", "the format `.xlsx` is not known\nhelp: pass a .csv"),
            ("a.csv", "text,label\na,x\nb,x\n", "has 1 labels.*\nhelp: pass more rows"),
            ("a.jsonl", "[1]\n", "expected one object in each line.*\nhelp: "),
            ("a.jsonl", '{"a": 1}\n', "no row has the keys `text` and `label`\nhelp: "),
        ]:
            with self.assertRaisesRegex(SystemExit, message):
                own.prepare(self.folder / "made", self.file(name, text))
        with self.assertRaisesRegex(SystemExit, "cannot read.*\nhelp: "):
            own.prepare(self.folder / "made", self.folder / "missing.csv")

    def test_quick_cases_and_the_main_section_are_the_default(self):
        data = types.SimpleNamespace(names=["rows"], first="rows", count=lambda *_: 480)

        def chosen(*flags):
            plan = cli.plan_of(cli.parser().parse_args(["--train", "a.csv", *flags]), data, 2)
            return {case.trainer for case in plan.cases}, [each.name for each in plan.sections]

        trainers, sections = chosen()
        self.assertTrue({"svm", "bag"} <= trainers and "bilstm" not in trainers)
        self.assertEqual(sections, ["whole"])
        self.assertEqual(
            chosen("--only", "bilstm", "--sections", "growth"), ({"bilstm"}, ["growth"])
        )

    def test_flags_without_effect_are_refused(self):
        for flags, message in [
            (["--test", "a.csv"], "--test has no effect without --train"),
            (["--train", "a.csv", "--sets", "imdb"], "--sets has no effect with --train"),
            (["--train", "a.csv", "--readme"], "--readme has no effect with --train"),
        ]:
            with self.assertRaisesRegex(SystemExit, f"{message}\nhelp: remove"):
                cli.check(cli.parser().parse_args(flags))

    def test_results_of_other_rows_are_not_continued(self):
        path = self.file("a.csv", "text,label\n" + "".join(f"t{n},{n % 2}\n" for n in range(20)))
        out = self.folder / "out"
        out.mkdir()
        Store(out).append(line(Job("bag", OURS, "train", "a", 0, 2), 1.0, rows_digest="other"))
        args = cli.parser().parse_args(["--train", str(path), "--out", str(out)])
        with self.assertRaisesRegex(SystemExit, "has results of other rows\nhelp: "):
            cli.run(args, self.folder)


class Commands(unittest.TestCase):
    def test_replaced_flags_are_given_once(self):
        tools = Tools(None, SMOKE, "cpu", None, pathlib.Path("work"))
        flags = tools.flags(
            BY_NAME["transformer"],
            Job("transformer", OURS, "train", "long", 0, 2, rows=4, length=64, epochs=2),
        )
        self.assertEqual([flags.count(flag) for flag in ("--max-len", "--epochs")], [1, 1])
        self.assertEqual(
            (flags[flags.index("--max-len") + 1], flags[flags.index("--epochs") + 1]), (64, 2)
        )

    def test_cuda_without_a_gpu_is_an_error(self):
        found, cli.gpu = cli.gpu, lambda: False
        self.addCleanup(setattr, cli, "gpu", found)
        with self.assertRaisesRegex(SystemExit, "no NVIDIA GPU.*\nhelp: "):
            cli.check(cli.parser().parse_args(["--device", "cuda", "--smoke"]))

    def test_gpu_run_has_only_networks_on_all_rows(self):
        args = cli.parser().parse_args(["--device", "cuda", "--smoke"])
        data = types.SimpleNamespace(names=["movie"], first="movie", count=lambda *_: 480)
        plan = cli.plan_of(args, data, 2)
        self.assertEqual([case.name for case in plan.cases], ["bilstm", "transformer"])
        self.assertTrue(plan.all_rows)
        tools = Tools(None, SMOKE, "cuda", None, pathlib.Path("work"))
        tools.found |= {"bilstm": "bilstm"}
        command = tools.command(Job("bilstm", OURS, "one", "movie", 0, 2), None)
        self.assertEqual(command[-2:], ["--device", "cuda"])

    def test_gpu_run_uses_libtorch_for_gpus(self):
        (libtorch, cargo) = tools.build_commands("bilstm", "cuda", environ={})
        self.assertEqual((libtorch[0].name, libtorch[1:]), ("get-libtorch", ["cuda"]))
        self.assertNotIn("--features", cargo)
        self.assertEqual(tools.build_commands("bilstm", environ={})[0][1:], [])
        self.assertEqual(
            len(tools.build_commands("bilstm", "cuda", environ={"LIBTORCH": "/opt/libtorch"})), 1
        )
        self.assertEqual(
            tools.build_commands("transformer", "cuda", environ={})[0][-2:], ["--features", "cuda"]
        )

    def test_gpu_run_uses_the_baselines_precision(self):
        def command(name, side, device):
            made = Tools(None, FULL, device, pathlib.Path("minilm"), pathlib.Path("work"))
            case = BY_NAME[name]
            made.found |= {
                case.trainer: "program",
                case.requirements: pathlib.Path("python"),
                "pretrained model": "minilm",
            }
            return made.command(Job(name, side, "train", "imdb", 0, 2), "rows.csv")

        self.assertEqual(
            command("bilstm", OURS, "cuda")[-4:], ["--device", "cuda", "--precision", "full"]
        )
        for name, side, device in [
            ("bilstm", BASELINE, "cuda"),
            ("bilstm", OURS, "cpu"),
            ("transformer", OURS, "cuda"),
        ]:
            self.assertNotIn("--precision", command(name, side, device))

    def test_networks_get_test_rows(self):
        made = Tools(None, FULL, "cpu", None, pathlib.Path("work"))
        found = [
            (name, side)
            for name in BY_NAME
            for side in (OURS, BASELINE)
            if made.scores(Job(name, side, "train", "imdb", 0, 2))
        ]
        self.assertEqual(found, [("bilstm", OURS), ("transformer", OURS)])

    def test_given_python_is_used_for_all_baselines(self):
        made = Tools(None, FULL, "cpu", None, pathlib.Path("work"), pathlib.Path(sys.executable))
        self.assertEqual(
            {made.python(BY_NAME[name]) for name in BY_NAME}, {pathlib.Path(sys.executable)}
        )
        made.found |= {trainer: pathlib.Path(sys.executable) for trainer in ("svm", "bilstm")}
        # Only where the baseline's image is known: this Python has packages of its owner's.
        sizes = cost.image_sizes([BY_NAME["svm-sgd"], BY_NAME["bilstm"]], made, "cpu")
        self.assertEqual(set(sizes), {"bilstm"})
        packages = environment.packages(
            pathlib.Path(sys.executable), ROOT / "bench/requirements.txt"
        )
        self.assertTrue(all("==" in package for package in packages))

    def test_gpu_run_has_images_for_gpus(self):
        made = Tools(None, FULL, "cuda", None, pathlib.Path("work"), pathlib.Path(sys.executable))
        known = cost.newest("images")["ours_on_gpu"]
        sizes = cost.image_sizes([BY_NAME["bilstm"], BY_NAME["transformer"]], made, "cuda")
        self.assertEqual(set(sizes), set(known))

    def test_missing_binary_has_a_help(self):
        tools = Tools(pathlib.Path("/nowhere"), FULL, "cpu", None, pathlib.Path("work"))
        with self.assertRaisesRegex(Missing, "help: cargo build --release -p svm"):
            tools.need(BY_NAME["svm-sgd"])


if __name__ == "__main__":
    unittest.main(buffer=True)
