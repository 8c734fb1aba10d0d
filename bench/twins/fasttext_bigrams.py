"""fastText with bigrams, what a user would pick for speed. Trains, predicts, prints one JSON object.

    fasttext_bigrams.py train.csv test.csv model.bin
"""

import csv
import json
import pathlib
import re
import sys
import tempfile
import time

csv.field_size_limit(2**31 - 1)


def lines(path):
    """Labels, and texts as fastText wants them: words parted by blanks, one row a line."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["label"] for row in rows], [" ".join(re.findall(r"\w+", row["text"].lower())) for row in rows]


def main():
    import fasttext

    train, test, model_file = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        rows = pathlib.Path(folder, "train.txt")
        labels, texts = lines(train)
        rows.write_text("".join(f"__label__{label} {text}\n" for label, text in zip(labels, texts)), encoding="utf-8")
        began = time.process_time()
        # dim 10, lr 0.5, 5 epochs, bigrams: the settings of fastText's own text classification tutorial.
        model = fasttext.train_supervised(str(rows), dim=10, lr=0.5, epoch=5, wordNgrams=2, thread=2, verbose=0)
        trained = time.process_time() - began
    model.save_model(model_file)
    labels, texts = lines(test)
    found = [best[0].removeprefix("__label__") for best in model.predict(texts)[0]]
    names = sorted(set(labels))
    hits = {name: sum(a == b == name for a, b in zip(labels, found)) for name in names}
    f1 = [2 * hits[name] / max(labels.count(name) + found.count(name), 1) for name in names]
    print(json.dumps({
        "accuracy": sum(hits.values()) / len(labels),
        "macro_f1": sum(f1) / len(f1),
        "train_cpu_seconds": trained,
    }))


if __name__ == "__main__":
    main()
