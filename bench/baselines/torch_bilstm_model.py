"""The fixed network of torch_bilstm.py with a saved model, for predicting in another process.

    torch_bilstm_model.py train rows.csv MODEL [flags of torch_bilstm.py] [--device cuda]
    torch_bilstm_model.py predict MODEL rows.csv predictions.csv
    torch_bilstm_model.py one MODEL "a film I shall remember"

MODEL is one file: the weights, the words, the labels and the flags.
"""

import argparse
import collections

import commands
import torch_bilstm as script

UNKNOWN, FIRST = 1, 2  # ids of `torch_bilstm.py --sound`: 0 is padding


def ids(texts, vocabulary, args):
    split = (
        [vocabulary.get(word, UNKNOWN) for word in script.words_of(text, True)[: args.seq_len]]
        for text in texts
    )
    return [row or [UNKNOWN] for row in split]


def network(size, classes, args):
    """Moves ids to the device and logits back, so that the script's loop is unchanged."""
    import torch

    class OnDevice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = script.network(size, classes, args).to(args.device)

        def forward(self, ids, lengths):
            return self.network(ids.to(args.device, non_blocking=True), lengths).cpu()

    return OnDevice()


def train(args):
    import torch

    torch.manual_seed(args.seed)
    texts, labels = commands.read(args.csv)
    counts = collections.Counter(word for text in texts for word in script.words_of(text, True))
    vocabulary = {
        word: number for number, (word, _) in enumerate(counts.most_common(args.vocab_size), FIRST)
    }
    names, numbers = commands.numbered(labels)
    model = network(len(vocabulary) + FIRST, len(names), args)
    rows = ids(texts, vocabulary, args)
    script.train(model, rows, numbers, len(names), args, {})
    saved = {
        name: value
        for name, value in vars(args).items()
        if name not in ("run", "device", "threads")
    }
    state = model.network.state_dict()
    torch.save(
        {"weights": state, "vocabulary": vocabulary, "names": names, "args": saved}, args.model
    )


def labels(texts, args):
    import torch

    saved = torch.load(args.model, map_location=args.device)
    args = argparse.Namespace(**saved["args"] | {"device": args.device})
    model = network(len(saved["vocabulary"]) + FIRST, len(saved["names"]), args)
    model.network.load_state_dict(saved["weights"])
    found = script.predict(model, ids(texts, saved["vocabulary"], args), len(saved["names"]), args)
    return [saved["names"][number] for number in found]


def predict(args):
    commands.write(args.predictions, labels(commands.read(args.csv)[0], args))


def one(args):
    print(labels([args.text], args)[0])


def flags(actions):
    others = {
        "batch-size": 32,
        "learning-rate": 2e-3,
        "vocab-size": 20_000,
        "seq-len": 400,
        "hidden-size": 100,
        "num-layers": 1,
        "dropout": 0.5,
    }
    script.flags(actions["train"], **others)
    actions["train"].set_defaults(sound=True)


if __name__ == "__main__":
    commands.main(__doc__, train, predict, one, flags, commands.torch_threads)
