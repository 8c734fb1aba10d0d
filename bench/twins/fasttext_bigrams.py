"""fastText with bigrams: what `bilstm --arch bag` is compared with. Dim 10, lr 0.5, 5 epochs, words lower-cased.

    fasttext_bigrams.py train rows.csv MODEL [--threads 1] [--seed 0]
    fasttext_bigrams.py predict MODEL rows.csv predictions.csv
    fasttext_bigrams.py one MODEL "a film I shall remember"

MODEL is a folder: fastText's labels must not have blanks, so the real ones lie beside its own file. With more than one
thread fastText's result differs from run to run.
"""

import argparse
import csv
import json
import pathlib
import re
import sys
import tempfile

import fasttext

csv.field_size_limit(sys.maxsize)


def words(text):
    return " ".join(re.findall(r"\w+", text.lower()))


def rows(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return [(words(row["text"]), row["label"]) for row in csv.DictReader(file)]


def train(args):
    found = rows(args.csv)
    names = sorted({label for _, label in found})
    numbers = {label: f"__label__{number}" for number, label in enumerate(names)}
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.writelines(f"{numbers[label]} {text}\n" for text, label in found)
        file.flush()
        model = fasttext.train_supervised(
            file.name, dim=10, lr=0.5, epoch=5, wordNgrams=2, thread=args.threads, seed=args.seed, verbose=0
        )
    args.model.mkdir(exist_ok=True)
    model.save_model(str(args.model / "model.bin"))
    (args.model / "labels.json").write_text(json.dumps(names))


def labels(folder, texts):
    # The loader of this version prints a warning about itself otherwise.
    fasttext.FastText.eprint = lambda *_: None
    model = fasttext.load_model(str(folder / "model.bin"))
    names = json.loads((folder / "labels.json").read_text())
    found, _ = model.predict(texts)
    return [names[int(label.removeprefix("__label__"))] for (label,) in found]


def predict(args):
    found = labels(args.model, [text for text, _ in rows(args.csv)])
    with open(args.predictions, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["predicted"], *([label] for label in found)])


def one(args):
    print(labels(args.model, [words(args.text)])[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(required=True)
    for run, arguments in [(train, ["csv", "model"]), (predict, ["model", "csv", "predictions"]), (one, ["model", "text"])]:
        action = actions.add_parser(run.__name__)
        action.set_defaults(run=run)
        for argument in arguments:
            action.add_argument(argument, type=pathlib.Path if argument == "model" else str)
        action.add_argument("--threads", type=int, default=1)
        action.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
