"""Fine-tuning with transformers' Trainer and pipeline, the baseline of `transformer`.

    transformers_finetune.py train rows.csv MODEL --pretrained-model FOLDER [--test rows.csv]
        [flags of `transformer train`]
    transformers_finetune.py predict MODEL rows.csv predictions.csv
    transformers_finetune.py one MODEL "a film I shall remember"
    transformers_finetune.py step --pretrained-model FOLDER [--rows 16] [--tokens 128] [--steps 8]

MODEL is a folder that `from_pretrained` opens. `train`, `predict` and `step` print one JSON object.
"""

import json
import os
import resource
import sys
import tempfile
import time

import commands

START = time.perf_counter()
# The checkpoint is a folder, so the hub is not contacted.
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def tokenizer_of(folder, max_len=None):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    # Without it, the model's largest number of positions.
    return tokenizer, min(max_len or tokenizer.model_max_length, tokenizer.model_max_length)


def encode(tokenizer, max_len, texts, labels):
    encoded = tokenizer(texts, truncation=True, max_length=max_len)["input_ids"]
    return [{"input_ids": ids, "labels": label} for ids, label in zip(encoded, labels)]


def model_of(folder, names):
    from transformers import AutoModelForSequenceClassification

    id2label = dict(enumerate(names))
    return AutoModelForSequenceClassification.from_pretrained(
        folder,
        num_labels=len(names),
        id2label=id2label,
        label2id={name: number for number, name in id2label.items()},
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


def first_step_callback(measurements):
    from transformers import TrainerCallback

    class FirstStep(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 1:
                measurements["first_step_seconds"] = time.perf_counter() - START
                print("first step", file=sys.stderr, flush=True)

    return FirstStep()


def evaluate(trainer, rows):
    # Batches of rows with similar lengths need less padding.
    rows = sorted(rows, key=lambda row: len(row["input_ids"]))
    wanted, found = (
        [row["labels"] for row in rows],
        trainer.predict(rows).predictions.argmax(axis=1).tolist(),
    )
    return commands.scores(wanted, found)


def train(args):
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, set_seed

    measurements = {"import_seconds": time.perf_counter() - START}
    set_seed(args.seed)
    texts, labels = commands.read(args.csv)
    names, numbers = commands.numbered(labels)
    tokenizer, max_len = tokenizer_of(args.pretrained_model, args.max_len)
    rows = encode(tokenizer, max_len, texts, numbers)
    measurements["read_seconds"] = time.perf_counter() - START - measurements["import_seconds"]
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model_of(args.pretrained_model, names),
            args=training_arguments(args, folder),
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[first_step_callback(measurements)],
        )
        trainer.remove_callback(
            PrinterCallback
        )  # it prints to stdout, where the JSON object belongs
        measurements["train_seconds"] = trainer.train().metrics["train_runtime"]
    if args.test:
        texts, labels = commands.read(args.test)
        measurements |= evaluate(
            trainer, encode(tokenizer, max_len, texts, [names.index(label) for label in labels])
        )
    trainer.save_model(args.model)
    tokenizer.model_max_length = max_len
    tokenizer.save_pretrained(args.model)
    print(json.dumps(measurements))


def pipeline_of(args):
    from transformers import pipeline

    tokenizer, max_len = tokenizer_of(args.model)
    classify = pipeline(
        "text-classification", model=args.model, tokenizer=tokenizer, device=args.device
    )
    return lambda texts, size: classify(texts, batch_size=size, truncation=True, max_length=max_len)


def predict(args):
    classify, (texts, _) = pipeline_of(args), commands.read(args.csv)
    began = time.perf_counter()
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    found = classify([texts[row] for row in order], args.batch_size)
    labels = dict(zip(order, (answer["label"] for answer in found)))
    seconds = time.perf_counter() - began
    commands.write(args.predictions, [labels[row] for row in range(len(texts))])
    print(json.dumps({"rows": len(texts), "predict_seconds": seconds}))


def one(args):
    print(pipeline_of(args)([args.text], 1)[0]["label"])


def step(args):
    """Measures single steps with dropout, clipping and fused AdamW on rows without padding."""
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


def flags(actions):
    train = actions["train"]
    train.add_argument("--pretrained-model", required=True)
    train.add_argument("--test")
    train.add_argument("--max-len", type=int, default=256)
    train.add_argument("--batch-size", type=int, default=16)
    train.add_argument("--epochs", type=int, default=3)
    train.add_argument("--learning-rate", type=float, default=5e-5)
    train.add_argument("--warm-up", type=float, default=0.1)
    train.add_argument("--weight-decay", type=float, default=0.01)
    train.add_argument("--clip-norm", type=float, default=1.0)
    train.add_argument(
        "--group-by-length", action="store_true", help="rows of like lengths make a batch"
    )
    actions["predict"].add_argument("--batch-size", type=int, default=16)
    actions["step"].add_argument("--pretrained-model", required=True)
    actions["step"].add_argument("--rows", type=int, default=16)
    actions["step"].add_argument("--tokens", type=int, default=128)
    actions["step"].add_argument("--steps", type=int, default=8)


def prepare(args):
    if args.threads:
        os.environ["RAYON_NUM_THREADS"] = str(args.threads)  # the tokenizer's
    commands.torch_threads(args)


if __name__ == "__main__":
    commands.main(__doc__, train, predict, one, flags, prepare, [step])
