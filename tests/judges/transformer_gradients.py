"""Computes logits, loss and gradients with the classes of transformers.

    transformer_gradients.py weights.safetensors case.json output.safetensors

`case.json` has `config` (config.json of the model), `rows` of ids, `types` of their tokens (empty
rows if all are 0), `labels`, `class_weights` and `label_smoothing`.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForSequenceClassification


def sets_loss(logits, case):
    """Returns the loss of rows with several labels: the case has their `sets`, `other_weights` (of
    the rows without each label) and `row_weights`.
    """
    targets = torch.zeros_like(logits)
    for row, labels in enumerate(case["sets"]):
        targets[row, labels] = 1
    smoothing = case["label_smoothing"]
    targets = targets * (1 - smoothing) + smoothing / 2
    names = ["class_weights", "other_weights", "row_weights"]
    own, other, rows = [torch.tensor(case[name]) for name in names]
    criterion = torch.nn.BCEWithLogitsLoss(reduction="none", weight=other, pos_weight=own / other)
    return (criterion(logits, targets).mean(1) * rows).sum() / rows.sum()


def main():
    weights, case, output = map(pathlib.Path, sys.argv[1:])
    case = json.loads(case.read_text(encoding="utf-8"))
    config = dict(case["config"])
    config = AutoConfig.for_model(config.pop("model_type"), **config)
    model = AutoModelForSequenceClassification.from_config(config)
    missing, unexpected = model.load_state_dict(load_file(weights), strict=False)
    # Only buffers such as position_ids may be missing, not parameters.
    parameters = dict(model.named_parameters())
    assert not unexpected and not set(missing) & set(parameters), (missing, unexpected)
    model.eval()  # no dropout; gradients are computed all the same
    longest = max(map(len, case["rows"]))
    ids = torch.tensor([row + [config.pad_token_id] * (longest - len(row)) for row in case["rows"]])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in case["rows"]])
    inputs = {"input_ids": ids, "attention_mask": mask}
    if any(case["types"]):
        types = [row + [0] * (longest - len(row)) for row in case["types"]]
        inputs["token_type_ids"] = torch.tensor(types)
    logits = model(**inputs).logits
    labels = torch.tensor(case["labels"])
    criterion = torch.nn.CrossEntropyLoss(reduction="none", label_smoothing=case["label_smoothing"])
    weights = torch.tensor(case["class_weights"])[labels]  # (rows)
    loss = (criterion(logits, labels) * weights).sum() / weights.sum()
    if "sets" in case:
        loss = sets_loss(logits, case)
    loss.backward()
    tensors = {
        f"gradient.{name}": parameter.grad.contiguous() for name, parameter in parameters.items()
    }
    save_file(
        {"logits": logits.detach().contiguous(), "loss": loss.detach().reshape(1), **tensors},
        output,
    )
    print(json.dumps({"loss": loss.item()}))


if __name__ == "__main__":
    main()
