"""Fine-tuning as most people do it: transformers' Trainer and pipeline. The twin of `transformer`, with the same flags.

    transformers_finetune.py train rows.csv MODEL --pretrained-model FOLDER [--test rows.csv] [flags of `transformer train`]
    transformers_finetune.py predict MODEL rows.csv predictions.csv
    transformers_finetune.py one MODEL "a film I shall remember"
    transformers_finetune.py step --pretrained-model FOLDER [--rows 16] [--tokens 128] [--steps 8]

MODEL is a folder that `from_pretrained` opens. `train`, `predict` and `step` print one JSON object.
"""

import argparse
import csv
import json
import os
import resource
import sys
import tempfile
import time

START = time.perf_counter()
csv.field_size_limit(2**31 - 1)
# The checkpoint is a folder: nothing is asked of the hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        rows = [(row["text"], row.get("label")) for row in csv.DictReader(file)]
    return [text for text, _ in rows], [label for _, label in rows]


def tokenizer_of(folder, max_len=None):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    # Without it, the longest text that the model has positions for.
    return tokenizer, min(max_len or tokenizer.model_max_length, tokenizer.model_max_length)


def encode(tokenizer, max_len, texts, labels):
    encoded = tokenizer(texts, truncation=True, max_length=max_len)["input_ids"]
    return [{"input_ids": ids, "labels": label} for ids, label in zip(encoded, labels)]


def model_of(folder, names):
    from transformers import AutoModelForSequenceClassification

    id2label = dict(enumerate(names))
    return AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(names), id2label=id2label, label2id={name: number for number, name in id2label.items()}
    )


def training_arguments(args, folder):
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=args.batch_size,
        per_device_eval_batch_size=args.batch_size,
        num_train_epochs=args.epochs,
        learning_rate=args.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=args.warm_up,  # below 1: a share of all steps
        weight_decay=args.weight_decay,
        max_grad_norm=args.clip_norm,
        train_sampling_strategy="group_by_length" if args.group_by_length else "random",
        seed=args.seed,
        use_cpu=args.device == "cpu",
        bf16=args.device != "cpu",
        dataloader_pin_memory=args.device != "cpu",
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )


def first_step_callback(facts):
    from transformers import TrainerCallback

    class FirstStep(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 1:
                facts["first_step_seconds"] = time.perf_counter() - START
                print("first step", file=sys.stderr, flush=True)

    return FirstStep()


def macro_f1(wanted, found, classes):
    scores = []
    for label in range(classes):
        hits = sum(a == b == label for a, b in zip(wanted, found))
        named = sum(a == label for a in wanted) + sum(b == label for b in found)
        scores.append(2 * hits / named if named else 0.0)
    return sum(scores) / classes


def evaluate(trainer, rows, names):
    # Rows of like lengths in a batch: less padding.
    rows = sorted(rows, key=lambda row: len(row["input_ids"]))
    wanted, found = [row["labels"] for row in rows], trainer.predict(rows).predictions.argmax(axis=1).tolist()
    accuracy = sum(a == b for a, b in zip(wanted, found)) / len(wanted)
    return {"accuracy": accuracy, "macro_f1": macro_f1(wanted, found, len(names))}


def train(args):
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, set_seed

    facts = {"import_seconds": time.perf_counter() - START}
    set_seed(args.seed)
    texts, labels = read(args.csv)
    names = sorted(set(labels))
    number = {name: index for index, name in enumerate(names)}
    tokenizer, max_len = tokenizer_of(args.pretrained_model, args.max_len)
    rows = encode(tokenizer, max_len, texts, [number[label] for label in labels])
    facts["read_seconds"] = time.perf_counter() - START - facts["import_seconds"]
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model_of(args.pretrained_model, names),
            args=training_arguments(args, folder),
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[first_step_callback(facts)],
        )
        trainer.remove_callback(PrinterCallback)  # it prints to stdout, where the JSON object belongs
        facts["train_seconds"] = trainer.train().metrics["train_runtime"]
    if args.test:
        texts, labels = read(args.test)
        facts |= evaluate(trainer, encode(tokenizer, max_len, texts, [number[label] for label in labels]), names)
    trainer.save_model(args.model)
    tokenizer.model_max_length = max_len
    tokenizer.save_pretrained(args.model)
    print(json.dumps(facts))


def pipeline_of(args):
    from transformers import pipeline

    tokenizer, max_len = tokenizer_of(args.model)
    classify = pipeline("text-classification", model=args.model, tokenizer=tokenizer, device=args.device)
    return lambda texts, size: classify(texts, batch_size=size, truncation=True, max_length=max_len)


def predict(args):
    classify, (texts, _) = pipeline_of(args), read(args.csv)
    began = time.perf_counter()
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    found = classify([texts[row] for row in order], args.batch_size)
    labels = dict(zip(order, (answer["label"] for answer in found)))
    seconds = time.perf_counter() - began
    with open(args.predictions, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["predicted"], *([labels[row]] for row in range(len(texts)))])
    print(json.dumps({"rows": len(texts), "predict_seconds": seconds}))


def one(args):
    print(pipeline_of(args)([args.text], 1)[0]["label"])


def step(args):
    """Steps without anything around them: dropout, clipping and fused AdamW, on rows without padding."""
    import torch

    torch.manual_seed(args.seed)
    model = model_of(args.pretrained_model, ["a", "b"]).to(args.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01, fused=True)
    seconds = []
    for _ in range(args.steps):
        ids = torch.randint(1000, 30_000, (args.rows, args.tokens), device=args.device)
        mask, labels = torch.ones_like(ids), torch.arange(args.rows, device=args.device) % 2
        began = time.perf_counter()
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss = loss.item()
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "loss": loss, "peak_bytes": peak}))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(dest="run", required=True)
    every = {}
    for action in (train, predict, one, step):
        every[action] = actions.add_parser(action.__name__)
        every[action].set_defaults(action=action)
        every[action].add_argument("--threads", type=int, default=0, help="0: as PyTorch likes it")
        every[action].add_argument("--device", default="cpu")
        every[action].add_argument("--seed", type=int, default=0)
    every[train].add_argument("csv")
    every[train].add_argument("model")
    every[train].add_argument("--pretrained-model", required=True)
    every[train].add_argument("--test")
    every[train].add_argument("--max-len", type=int, default=256)
    every[train].add_argument("--batch-size", type=int, default=16)
    every[train].add_argument("--epochs", type=int, default=3)
    every[train].add_argument("--learning-rate", type=float, default=5e-5)
    every[train].add_argument("--warm-up", type=float, default=0.1)
    every[train].add_argument("--weight-decay", type=float, default=0.01)
    every[train].add_argument("--clip-norm", type=float, default=1.0)
    every[train].add_argument("--group-by-length", action="store_true", help="rows of like lengths make a batch")
    every[predict].add_argument("model")
    every[predict].add_argument("csv")
    every[predict].add_argument("predictions")
    every[predict].add_argument("--batch-size", type=int, default=16)
    every[one].add_argument("model")
    every[one].add_argument("text")
    every[step].add_argument("--pretrained-model", required=True)
    every[step].add_argument("--rows", type=int, default=16)
    every[step].add_argument("--tokens", type=int, default=128)
    every[step].add_argument("--steps", type=int, default=8)
    return parser.parse_args()


def main():
    args = arguments()
    if args.threads:
        os.environ["RAYON_NUM_THREADS"] = str(args.threads)  # the tokenizer's
        import torch

        torch.set_num_threads(args.threads)
    args.action(args)


if __name__ == "__main__":
    main()
