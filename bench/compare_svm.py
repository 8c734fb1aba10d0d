#!/usr/bin/env python3
"""Compares `svm` with the scikit-learn script that it replaces. See bench/README.md."""

import argparse
import csv
import datetime
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
from measure import cpu_model, exponent, load, measured, median, memory_bytes, size  # noqa: E402

TWIN = ROOT / "bench/twins/sklearn_svm.py"
LINEAR_SVC = ROOT / "bench/twins/linear_svc.py"
SECTIONS = ["train", "accuracy", "predict", "one", "growth", "malformed", "threads", "best", "others"]
# The old script's settings: TfidfVectorizer(min_df=5, stop_words="english"), SGDClassifier(alpha=1e-4).
REFERENCE = ["--min-df", "5", "--stopwords", "english", "--loss", "hinge", "--alpha", "1e-4"]
PLAIN = ["--validation-split", "0", "--no-report"]


class Bench:
    """One comparison: where things are, and what has been measured so far."""

    def __init__(self, args, python, binary, folder):
        self.python, self.svm, self.folder = python, binary, folder
        self.pairs, self.smoke = args.pairs, args.smoke
        self.data = args.data
        self.raw = []
        self.lines = []

    def run(self, name, side, command, **facts):
        """One measured process; kept in the raw results."""
        result = measured(command)
        kept = {key: value for key, value in result.items() if key != "stdout"}
        self.raw.append({"name": name, "side": side, **facts, **kept})
        print(f"  {name:24} {side:12} {result['wall_seconds']:8.3f} s wall {result['cpu_seconds']:8.3f} s cpu "
              f"{result['peak_bytes'] / 1e6:8.1f} MB", flush=True)
        return result

    def say(self, *lines):
        self.lines.extend(lines)

    def path(self, name):
        return self.folder / name

    def imdb(self, part):
        return self.path(f"movie-{part}.csv") if self.smoke else self.data / "imdb" / f"{part}.csv"

    def train(self, name, model, source, flags, **facts):
        shutil.rmtree(model, ignore_errors=True)
        return self.run(name, "svm", [self.svm, "train", "--train", source, "--model-dir", model, *flags], **facts)

    def evaluate(self, model, rows):
        output = measured([self.svm, "evaluate", "--model-dir", model, "--data", rows, "--json"])["stdout"]
        return json.loads(output)


def ratio_row(name, ours, theirs, key, scale, unit):
    a, b = median(ours, key) * scale, median(theirs, key) * scale
    return f"| {name} | {a:.3g} {unit} | {b:.3g} {unit} | {a / b:.3f} (1/{b / a:.1f}) |"


TITLES = {1: "unigrams", 2: "(1,2)-grams"}
HEAD = ["| | svm | scikit-learn | ratio |", "|---|---|---|---|"]


def compare_train(bench):
    """Training, turn by turn: ours plain, ours with everything on, theirs."""
    plain, full = [], []
    for ngrams in [1, 2]:
        title, flags = TITLES[ngrams], [*REFERENCE, "--max-ngrams", ngrams]
        model, twin = bench.path(f"model-{ngrams}"), bench.path(f"twin-{ngrams}.joblib")
        ours, everything, theirs = [], [], []
        for pair in range(bench.pairs):
            facts = {"ngrams": ngrams, "pair": pair}
            ours.append(bench.train("train", model, bench.imdb("train"), [*flags, *PLAIN], **facts))
            everything.append(bench.train("train, everything", bench.path("model-everything"), bench.imdb("train"),
                                          [*flags, "--validation-split", "0.1"], **facts))
            command = [bench.python, TWIN, "train", bench.imdb("train"), twin, "--max-ngrams", ngrams]
            theirs.append(bench.run("train", "scikit-learn", command, **facts))
        for lines, runs in [(plain, ours), (full, everything)]:
            lines += [ratio_row(f"{title}, wall", runs, theirs, "wall_seconds", 1, "s"),
                      ratio_row(f"{title}, CPU", runs, theirs, "cpu_seconds", 1, "s"),
                      ratio_row(f"{title}, peak memory", runs, theirs, "peak_bytes", 1e-6, "MB")]
        a, b = size(model) / 1e6, size(twin) / 1e6
        plain.append(f"| {title}, model | {a:.3g} MB | {b:.3g} MB | {a / b:.3f} (1/{b / a:.1f}) |")
    bench.say("## Plain training: CSV to saved model", "", *HEAD, *plain, "")
    bench.say("## Everything on (split, calibration, report) against scikit-learn's plain training", "", *HEAD, *full, "")


def compare_accuracy(bench):
    """The same flags on the test set."""
    bench.say("## Accuracy on the test set, the same flags", "", "| | svm | scikit-learn | difference |", "|---|---|---|---|")
    with open(bench.imdb("test"), encoding="utf-8", newline="") as file:
        truth = [row["label"] for row in csv.DictReader(file)]
    for ngrams in [1, 2]:
        ours = bench.evaluate(bench.path(f"model-{ngrams}"), bench.imdb("test"))["accuracy"]
        output = bench.path("twin-predictions.csv")
        measured([bench.python, TWIN, "predict", bench.path(f"twin-{ngrams}.joblib"), bench.imdb("test"), output])
        with open(output, encoding="utf-8", newline="") as file:
            predicted = [row["predicted"] for row in csv.DictReader(file)]
        theirs = sum(a == b for a, b in zip(truth, predicted, strict=True)) / len(truth)
        bench.raw.append({"name": f"accuracy ({ngrams} grams)", "svm": ours, "scikit-learn": theirs})
        title = TITLES[ngrams]
        bench.say(f"| {title} | {ours:.4f} | {theirs:.4f} | {100 * (ours - theirs):+.2f} points |")
    bench.say("")


def compare_predict(bench):
    """CSV in, CSV out."""
    bench.say("## Prediction: CSV to CSV, process included", "", *HEAD)
    rows = bench.imdb("train")
    count = row_count(rows)
    for ngrams in [1, 2]:
        name, ours, theirs = f"predict ({ngrams} grams)", [], []
        for pair in range(bench.pairs):
            command = [bench.svm, "predict", "--model-dir", bench.path(f"model-{ngrams}"), "--input", rows]
            ours.append(bench.run(name, "svm", command, pair=pair))
            command = [bench.python, TWIN, "predict", bench.path(f"twin-{ngrams}.joblib"), rows, bench.path("out.csv")]
            theirs.append(bench.run(name, "scikit-learn", command, pair=pair))
        for result in ours + theirs:
            result["rate"] = count / result["wall_seconds"]
        title = TITLES[ngrams]
        a, b = median(ours, "rate"), median(theirs, "rate")
        bench.say(f"| {title}, rows per second | {a:,.0f} | {b:,.0f} | {a / b:.1f} times |",
                  ratio_row(f"{title}, CPU", ours, theirs, "cpu_seconds", 1, "s"),
                  ratio_row(f"{title}, peak memory", ours, theirs, "peak_bytes", 1e-6, "MB"))
    bench.say("")


def compare_one(bench):
    """One text: from process start to answer."""
    bench.say("## One text: process start to answer, median", "", *HEAD)
    text = "a film I shall remember"
    for ngrams in [1, 2]:
        name = f"one text ({ngrams} grams)"
        command = [bench.svm, "predict", "--model-dir", bench.path(f"model-{ngrams}"), text]
        ours = [bench.run(name, "svm", command) for _ in range(4 if bench.smoke else 20)]
        command = [bench.python, TWIN, "one", bench.path(f"twin-{ngrams}.joblib"), text]
        theirs = [bench.run(name, "scikit-learn", command) for _ in range(2 if bench.smoke else 5)]
        title = TITLES[ngrams]
        bench.say(ratio_row(title, ours, theirs, "wall_seconds", 1000, "ms"))
    bench.say("")


def row_count(path):
    with open(path, encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def synthetic(bench, rows):
    """Rows of the train set drawn with replacement, their words shuffled: as long and as many words as real ones."""
    target = bench.path(f"synthetic-{rows}.csv")
    if not target.exists():
        with open(bench.imdb("train"), encoding="utf-8", newline="") as file:
            source = [(row["text"].split(), row["label"]) for row in csv.DictReader(file)]
        draw = random.Random(rows)
        with open(target, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["text", "label"])
            for _ in range(rows):
                words, label = draw.choice(source)
                writer.writerow([" ".join(draw.sample(words, len(words))), label])
    return target


def compare_growth(bench):
    """How time and memory grow with the rows."""
    bench.say("## Growth with the rows (synthetic rows, unigrams)", "", "| rows | wall | CPU | peak memory |", "|---|---|---|---|")
    sizes = [100, 400, 1600] if bench.smoke else [1_000, 5_000, 25_000, 250_000]
    points = []
    for rows in sizes:
        data = synthetic(bench, rows)
        runs = [bench.train("growth", bench.path("model-growth"), data, [*REFERENCE, *PLAIN, "--max-ngrams", 1], rows=rows)
                for _ in range(bench.pairs)]
        point = [median(runs, key) for key in ("wall_seconds", "cpu_seconds", "peak_bytes")]
        points.append((rows, *point))
        bench.say(f"| {rows:,} | {point[0]:.3f} s | {point[1]:.3f} s | {point[2] / 1e6:.1f} MB |")
    exponents = [exponent([(point[0], point[column]) for point in points]) for column in (1, 2, 3)]
    bench.raw.append({"name": "growth exponents", "wall": exponents[0], "cpu": exponents[1], "memory": exponents[2]})
    bench.say("| exponent | " + " | ".join(f"{value:.2f}" for value in exponents) + " |", "")


def compare_malformed(bench):
    """The same data with every twentieth row malformed, which is dropped."""
    bench.say("## Malformed rows", "", "| | wall | CPU | peak memory |", "|---|---|---|---|")
    broken = bench.path("malformed.csv")
    with open(bench.imdb("train"), encoding="utf-8", newline="") as source, \
            open(broken, "w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target, lineterminator="\n")
        for number, row in enumerate(csv.reader(source)):
            writer.writerow([*row, "one field too many"] if number and number % 20 == 0 else row)
    for title, rows, flags in [("whole", bench.imdb("train"), []), ("5 % malformed", broken, ["--drop-malformed"])]:
        flags = [*REFERENCE, *PLAIN, "--max-ngrams", 1, *flags]
        runs = [bench.train(f"malformed: {title}", bench.path("model-m"), rows, flags) for _ in range(bench.pairs)]
        bench.say(f"| {title} | {median(runs, 'wall_seconds'):.3f} s | {median(runs, 'cpu_seconds'):.3f} s | "
                  f"{median(runs, 'peak_bytes') / 1e6:.1f} MB |")
    bench.say("")


def compare_threads(bench):
    """Two threads against one, turn by turn with scikit-learn, which uses one; and the same bytes."""
    bench.say("## Threads (plain)", "", "| | wall | CPU |", "|---|---|---|")
    for ngrams in [1, 2]:
        weights, runs = {}, {1: [], 2: [], "scikit-learn": []}
        for _ in range(bench.pairs):
            for threads in [1, 2]:
                flags = [*REFERENCE, *PLAIN, "--max-ngrams", ngrams, "--threads", threads]
                model = bench.path(f"model-threads-{threads}")
                runs[threads].append(bench.train("threads", model, bench.imdb("train"), flags, threads=threads, ngrams=ngrams))
                weights[threads] = (model / "model.safetensors").read_bytes()
            command = [bench.python, TWIN, "train", bench.imdb("train"), bench.path("twin-threads.joblib"), "--max-ngrams", ngrams]
            runs["scikit-learn"].append(bench.run("threads", "scikit-learn", command, ngrams=ngrams))
        theirs = [median(runs["scikit-learn"], key) for key in ("wall_seconds", "cpu_seconds")]
        for threads, results in runs.items():
            ours = [median(results, key) for key in ("wall_seconds", "cpu_seconds")]
            cells = [f"{value:.3f} s (1/{other / value:.1f})" for value, other in zip(ours, theirs)]
            name = "scikit-learn" if threads == "scikit-learn" else f"svm, {threads} thread{'s' if threads > 1 else ''}"
            bench.say(f"| {TITLES[ngrams]}, {name} | {cells[0]} | {cells[1]} |")
        same = weights[1] == weights[2]
        bench.raw.append({"name": f"threads give the same bytes ({ngrams} grams)", "same": same})
        bench.say(f"| {TITLES[ngrams]}, the weights | {'the same bytes' if same else 'DIFFERENT'} | |")
    bench.say("")


def compare_best(bench):
    """`--tune`: chosen on the train file alone."""
    bench.say("## Best mode (`--tune`, chosen by cross-validation on the train file)", "")
    model = bench.path("model-best")
    result = bench.train("best", model, bench.imdb("train"), ["--tune", *PLAIN])
    found = bench.evaluate(model, bench.imdb("test"))
    bench.raw.append({"name": "best accuracy", "accuracy": found["accuracy"]})
    bench.say(f"Accuracy {found['accuracy']:.4f} on the test set after {result['cpu_seconds']:.2f} CPU s, "
              f"{result['wall_seconds']:.2f} s wall, {result['peak_bytes'] / 1e6:.0f} MB.", "")


def compare_others(bench):
    """Other data sets against LinearSVC on (1,2)-grams."""
    bench.say("## Other data: macro-F1 on the test set", "", "| | svm, default | svm --tune | LinearSVC (1,2) |", "|---|---|---|---|")
    names = ["movie"] if bench.smoke else ["ag_news", "sms_spam"]
    for name in names:
        train, test = (bench.imdb(part) if bench.smoke else bench.data / name / f"{part}.csv" for part in ("train", "test"))
        ours = []
        for flags in [[], ["--tune"]]:
            bench.train(f"{name} {' '.join(flags)}", bench.path("model-other"), train, [*flags, *PLAIN])
            ours.append(bench.evaluate(bench.path("model-other"), test)["macro_f1"])
        output = bench.run(name, "LinearSVC", [bench.python, LINEAR_SVC, train, test])["stdout"]
        theirs = json.loads(output)["macro_f1"]
        bench.raw.append({"name": f"{name} macro_f1", "svm": ours[0], "svm --tune": ours[1], "LinearSVC": theirs})
        bench.say(f"| {name} | {ours[0]:.4f} | {ours[1]:.4f} | {theirs:.4f} |")
    bench.say("")


def small_split(bench):
    """The sample cut in two, for --smoke."""
    with open(ROOT / "data/movie.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    for part, chosen in [("train", rows[1:481]), ("test", rows[481:])]:
        with open(bench.path(f"movie-{part}.csv"), "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([rows[0], *chosen])


def python_environment():
    """The pinned Python of bench/requirements.txt, made if it is not there."""
    script = '. tests/venv.sh; make_venv "$PWD/bench/requirements.txt"'
    return subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, check=True,
                          stdout=subprocess.PIPE, text=True).stdout.strip()


def build():
    subprocess.run(["cargo", "build", "--release", "-p", "svm"], cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release/svm"


def environment(python, before):
    def first_line(command):
        return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.split("\n")[0]

    packages = [line for line in (ROOT / "bench/requirements.txt").read_text().splitlines() if "==" in line]
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory_bytes(),
        "kernel": os.uname().release.split("-")[0],
        "python": first_line([python, "--version"]),
        "packages": packages,
        "rustc": first_line(["rustc", "--version"]),
        "commit": first_line(["git", "rev-parse", "HEAD"]),
        "load_before": before,
        "load_after": load(),
    }


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared/data",
                        help="folder with imdb/, ag_news/ and sms_spam/, each with train.csv and test.csv")
    parser.add_argument("--pairs", type=int, default=5, help="how often each measurement is repeated")
    parser.add_argument("--machine", help="label of the results' folder [default: the CPU model]")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", help="some sections; the later ones need `train`")
    parser.add_argument("--smoke", action="store_true", help="seconds, on data/movie.csv; the results are not kept")
    parser.add_argument("--svm", type=pathlib.Path, help="a binary to measure [default: build it]")
    args = parser.parse_args()
    if args.smoke:
        args.pairs = 1
    elif not (args.data / "imdb/train.csv").is_file():
        parser.error("no imdb/train.csv below --data\nhelp: data/README.md tells where to get it, or try --smoke")
    return args


def main():
    args = arguments()
    python, before = python_environment(), load()
    binary = (args.svm or build()).resolve()
    sections = args.only or SECTIONS
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as folder:
        bench = Bench(args, python, binary, pathlib.Path(folder))
        if args.smoke:
            small_split(bench)
        for section in sections:
            print(f"==> {section}", flush=True)
            globals()[f"compare_{section}"](bench)
    facts = environment(python, before)
    date = datetime.date.today().isoformat()
    title = [f"# svm against scikit-learn, {date}", "",
             f"{facts['cpu']}, {facts['cores']} cores; medians of {args.pairs}; load {before:.1f} before, "
             f"{facts['load_after']:.1f} after.", ""]
    summary = "\n".join(title + bench.lines)
    print("\n" + summary)
    if args.smoke:
        return
    label = re.sub(r"[^a-z0-9]+", "-", (args.machine or facts["cpu"]).lower()).strip("-")
    target = ROOT / "bench/runs" / f"{date}-{label}"
    target.mkdir(parents=True, exist_ok=True)
    (target / "raw.jsonl").write_text("".join(json.dumps(line) + "\n" for line in bench.raw))
    (target / "summary.md").write_text(summary)
    (target / "environment.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"written to {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
