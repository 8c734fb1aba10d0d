"""The PyTorch script that the bi-LSTM trainer replaces. Trains, evaluates, saves, prints JSON.

    torch_bilstm.py train.csv test.csv model.pt            the old script, with its bugs
    torch_bilstm.py train.csv test.csv model.pt --sound    the same network with its bugs fixed

The old script has one id for padding, unknown words and the most frequent word, and uses the state
at the last position, which is mostly padding. The fixed one has separate ids, packed sequences, and
pooling over the words. The flags are those of `bilstm train`.
"""

import argparse
import collections
import json
import re
import sys
import time

import commands

START = time.perf_counter()
# As in the old script.
FLAGS = {
    "batch-size": 16,
    "epochs": 5,
    "learning-rate": 1e-3,
    "vocab-size": 1000,
    "seq-len": 100,
    "emb-size": 100,
    "hidden-size": 200,
    "num-layers": 2,
    "dropout": 0.0,
}


def flags(parser, **others):
    for name, default in (FLAGS | others).items():
        parser.add_argument(f"--{name}", type=type(default), default=default)


def words_of(text, sound):
    return re.findall(r"\w+", text.lower()) if sound else text.split()


def encode(train, test, args):
    """Returns at most `seq_len` ids of words for each row. Ids below `first` are not words."""
    split = [[words_of(text, args.sound) for text in texts] for texts in (train, test)]
    counts = collections.Counter(word for words in split[0] for word in words)
    first, unknown = (2, 1) if args.sound else (0, 0)
    ids = {
        word: number for number, (word, _) in enumerate(counts.most_common(args.vocab_size), first)
    }
    encoded = [
        [[ids.get(word, unknown) for word in words[: args.seq_len]] or [unknown] for words in part]
        for part in split
    ]
    return encoded, len(ids) + first


def padded(rows, args):
    """Returns padded ids and lengths: (batch, longest row) if `--sound`, else (batch, seq_len)."""
    import torch

    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max()) if args.sound else args.seq_len
    batch = torch.zeros(len(rows), width, dtype=torch.int64)
    for place, row in zip(batch, rows):
        place[: len(row)] = torch.tensor(row)
    return batch, lengths


def network(vocabulary, classes, args):
    import torch
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(
                vocabulary, args.emb_size, padding_idx=0 if args.sound else None
            )
            self.lstm = nn.LSTM(
                args.emb_size,
                args.hidden_size,
                args.num_layers,
                batch_first=True,
                bidirectional=True,
            )
            self.dropout = nn.Dropout(args.dropout)
            self.linear = nn.Linear(2 * args.hidden_size, 1 if classes == 2 else classes)

        def forward(self, ids, lengths):
            embedded = self.dropout(self.embedding(ids))  # (batch, seq, emb)
            if not args.sound:
                states, _ = self.lstm(embedded)  # (batch, seq, 2 * hidden)
                return self.linear(self.dropout(states[:, -1]))
            packed = nn.utils.rnn.pack_padded_sequence(
                embedded, lengths, batch_first=True, enforce_sorted=False
            )
            states, _ = nn.utils.rnn.pad_packed_sequence(
                self.lstm(packed)[0], batch_first=True, padding_value=-torch.inf
            )
            return self.linear(self.dropout(states.amax(dim=1)))

    return Classifier()


def batches(rows, labels, order, args):
    for start in range(0, len(order), args.batch_size):
        chosen = order[start : start + args.batch_size]
        yield padded([rows[row] for row in chosen], args), [labels[row] for row in chosen]


def loss_of(logits, labels, classes):
    """Returns binary cross entropy for two classes, as in the old script, else cross entropy."""
    import torch
    from torch.nn import functional

    if classes == 2:
        return functional.binary_cross_entropy(
            torch.sigmoid(logits[:, 0]), torch.tensor(labels, dtype=torch.float32)
        )
    return functional.cross_entropy(logits, torch.tensor(labels))


def train(model, rows, labels, classes, args, measurements):
    import torch

    optimizer = torch.optim.Adam(model.parameters(), lr=args.learning_rate)
    generator = torch.Generator().manual_seed(args.seed)
    steps = 0
    for _ in range(args.epochs):
        model.train()
        order = torch.randperm(len(rows), generator=generator).tolist()
        for (ids, lengths), wanted in batches(rows, labels, order, args):
            optimizer.zero_grad()
            loss_of(model(ids, lengths), wanted, classes).backward()
            optimizer.step()
            steps += 1
            if steps == 1:
                measurements["first_step_seconds"] = time.perf_counter() - START
                print("first step", file=sys.stderr, flush=True)
    measurements["steps"] = steps


def predict(model, rows, classes, args):
    import torch

    model.eval()
    found = []
    with torch.inference_mode():
        for (ids, lengths), _ in batches(rows, [0] * len(rows), range(len(rows)), args):
            logits = model(ids, lengths)
            best = (logits[:, 0] > 0).long() if classes == 2 else logits.argmax(dim=1)
            found.extend(best.tolist())
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("model")
    parser.add_argument("--sound", action="store_true")
    flags(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()

    measurements = {}
    import torch

    torch.manual_seed(args.seed)
    commands.torch_threads(args)
    measurements["import_seconds"] = time.perf_counter() - START
    began, cpu = time.perf_counter(), time.process_time()
    (train_texts, train_labels), (test_texts, test_labels) = (
        commands.read(args.train),
        commands.read(args.test),
    )
    names, train_labels = commands.numbered(train_labels)
    test_labels = [names.index(label) for label in test_labels]
    (train_rows, test_rows), vocabulary = encode(train_texts, test_texts, args)
    measurements["read_seconds"] = time.perf_counter() - began
    measurements["read_cpu_seconds"] = time.process_time() - cpu
    model = network(vocabulary, len(names), args)
    train(model, train_rows, train_labels, len(names), args, measurements)
    found = predict(model, test_rows, len(names), args)
    measurements |= commands.scores(test_labels, found)
    torch.save(model.state_dict(), args.model)
    print(json.dumps(measurements))


if __name__ == "__main__":
    sys.exit(main())
