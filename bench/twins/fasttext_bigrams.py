"""fastText with bigrams: what `bilstm --arch bag` is compared with.

    fasttext_bigrams.py train.csv test.csv MODEL_FILE

Reads, lower-cases, trains on one thread (dim 10, lr 0.5, 5 epochs), saves, and prints JSON: `accuracy`, and the processor
seconds of the training call alone.
"""

import csv
import json
import re
import sys
import tempfile
import time

import fasttext

csv.field_size_limit(sys.maxsize)


def rows(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return [(" ".join(re.findall(r"\w+", row["text"].lower())), row["label"]) for row in csv.DictReader(file)]


def main():
    train, test, model_file = sys.argv[1:]
    train, test = rows(train), rows(test)
    # Labels may have blanks, fastText's must not.
    numbers = {label: f"__label__{number}" for number, label in enumerate(sorted({label for _, label in train}))}
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.writelines(f"{numbers[label]} {text}\n" for text, label in train)
        file.flush()
        before = time.process_time()
        model = fasttext.train_supervised(file.name, dim=10, lr=0.5, epoch=5, wordNgrams=2, thread=1, verbose=0)
        seconds = time.process_time() - before
    found, _ = model.predict([text for text, _ in test])
    right = sum(labels[0] == numbers.get(label) for labels, (_, label) in zip(found, test))
    model.save_model(model_file)
    print(json.dumps({"accuracy": right / len(test), "training_cpu_seconds": seconds}))


if __name__ == "__main__":
    main()
