"""fastText with bigrams, the baseline of `bag`: dim 10, lr 0.5, 5 epochs, words in lower case.

    fasttext_bigrams.py train rows.csv MODEL [--threads 1] [--seed 0]
    fasttext_bigrams.py predict MODEL rows.csv predictions.csv
    fasttext_bigrams.py one MODEL "a film I shall remember"

MODEL is a folder, because fastText's labels must not have blanks: the real ones are in a second
file. With more than one thread, fastText's result varies between runs.
"""

import json
import pathlib
import re
import tempfile

import commands
import fasttext


def words(text):
    return " ".join(re.findall(r"\w+", text.lower()))


def train(args):
    texts, found = commands.read(args.csv)
    names, numbers = commands.numbered(found)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.writelines(
            f"__label__{number} {words(text)}\n" for number, text in zip(numbers, texts)
        )
        file.flush()
        model = fasttext.train_supervised(
            file.name,
            dim=10,
            lr=0.5,
            epoch=5,
            wordNgrams=2,
            thread=args.threads or 1,
            seed=args.seed,
            verbose=0,
        )
    folder = pathlib.Path(args.model)
    folder.mkdir(exist_ok=True)
    model.save_model(str(folder / "model.bin"))
    (folder / "labels.json").write_text(json.dumps(names))


def labels(folder, texts):
    # Without this, the loader of this version prints a warning.
    fasttext.FastText.eprint = lambda *_: None
    folder = pathlib.Path(folder)
    model = fasttext.load_model(str(folder / "model.bin"))
    names = json.loads((folder / "labels.json").read_text())
    found, _ = model.predict([words(text) for text in texts])
    return [names[int(label.removeprefix("__label__"))] for (label,) in found]


def predict(args):
    commands.write(args.predictions, labels(args.model, commands.read(args.csv)[0]))


def one(args):
    print(labels(args.model, [args.text])[0])


if __name__ == "__main__":
    commands.main(__doc__, train, predict, one)
