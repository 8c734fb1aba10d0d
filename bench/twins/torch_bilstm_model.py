"""The sound network of torch_bilstm.py as a program that keeps its model: trained in one process, asked in another.

    torch_bilstm_model.py train rows.csv MODEL [flags of torch_bilstm.py] [--device cuda]
    torch_bilstm_model.py predict MODEL rows.csv predictions.csv
    torch_bilstm_model.py one MODEL "a film I shall remember"

MODEL is one file: the weights, the words, the labels and the flags.
"""

import argparse
import collections
import csv

import torch_bilstm as script

UNKNOWN, FIRST = 1, 2  # torch_bilstm.py's ids of the sound network: 0 is padding


def ids(texts, vocabulary, args):
    split = ([vocabulary.get(word, UNKNOWN) for word in script.words_of(text, True)[:args.seq_len]] for text in texts)
    return [row or [UNKNOWN] for row in split]


def network(size, classes, args):
    """On its device; ids come from the host and logits go back there, so the script's loop and loss need not know."""
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
    texts, labels = script.read(args.csv)
    counts = collections.Counter(word for text in texts for word in script.words_of(text, True))
    vocabulary = {word: number for number, (word, _) in enumerate(counts.most_common(args.vocab_size), FIRST)}
    names = sorted(set(labels))
    numbers = {name: number for number, name in enumerate(names)}
    model = network(len(vocabulary) + FIRST, len(names), args)
    rows = ids(texts, vocabulary, args)
    script.train(model, rows, [numbers[label] for label in labels], len(names), args, {})
    kept = {name: value for name, value in vars(args).items() if name not in ("run", "device", "threads")}
    state = model.network.state_dict()
    torch.save({"weights": state, "vocabulary": vocabulary, "names": names, "args": kept}, args.model)


def labels(texts, args):
    import torch

    kept = torch.load(args.model, map_location=args.device)
    args = argparse.Namespace(**kept["args"] | {"device": args.device})
    model = network(len(kept["vocabulary"]) + FIRST, len(kept["names"]), args)
    model.network.load_state_dict(kept["weights"])
    found = script.predict(model, ids(texts, kept["vocabulary"], args), len(kept["names"]), args)
    return [kept["names"][number] for number in found]


def predict(args):
    found = labels(script.read(args.csv)[0], args)
    with open(args.predictions, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["predicted"], *([label] for label in found)])


def one(args):
    print(labels([args.text], args)[0])


def flags(action):
    action.add_argument("--batch-size", type=int, default=32)
    action.add_argument("--epochs", type=int, default=5)
    action.add_argument("--learning-rate", type=float, default=2e-3)
    action.add_argument("--vocab-size", type=int, default=20_000)
    action.add_argument("--seq-len", type=int, default=400)
    action.add_argument("--emb-size", type=int, default=100)
    action.add_argument("--hidden-size", type=int, default=100)
    action.add_argument("--num-layers", type=int, default=1)
    action.add_argument("--dropout", type=float, default=0.5)
    action.add_argument("--seed", type=int, default=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(required=True)
    for run, arguments in [(train, ["csv", "model"]), (predict, ["model", "csv", "predictions"]), (one, ["model", "text"])]:
        action = actions.add_parser(run.__name__)
        action.set_defaults(run=run, sound=True)
        for argument in arguments:
            action.add_argument(argument)
        action.add_argument("--threads", type=int, default=0)
        action.add_argument("--device", default="cpu")
    flags(actions.choices["train"])
    args = parser.parse_args()
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    args.run(args)


if __name__ == "__main__":
    main()
