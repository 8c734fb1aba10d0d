"""Computes logits, loss and gradients with the PyTorch module in the documentation.

    torch_gradients.py weights.safetensors case.json output.safetensors

`case.json` has `config` (as in a model's config.json), `rows` of ids, `labels` and `class_weights`.
With `steps`, `learning_rate` and `clip_norm`, this many steps of Adam are taken first, and the
resulting weights are written too.
"""

import json
import pathlib
import sys

import documented
import torch
from read_bilstm import DOCS
from safetensors.torch import load_file, save_file


def main():
    weights, case, output = map(pathlib.Path, sys.argv[1:])
    case = json.loads(case.read_text(encoding="utf-8"))
    module = documented.names(DOCS)["BiLstm"](**case["config"])
    module.load_state_dict(load_file(weights))
    # The class-weighted mean of nn.CrossEntropyLoss.
    criterion, labels = (
        torch.nn.CrossEntropyLoss(torch.tensor(case["class_weights"])),
        torch.tensor(case["labels"]),
    )
    if "steps" in case:
        adam = torch.optim.Adam(module.parameters(), lr=case["learning_rate"])
        for _ in range(case["steps"]):
            adam.zero_grad()
            criterion(module(case["rows"]), labels).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), case["clip_norm"])
            adam.step()
        adam.zero_grad()
    logits = module(case["rows"])
    loss = criterion(logits, labels)
    loss.backward()
    tensors = {f"gradient.{name}": parameter.grad for name, parameter in module.named_parameters()}
    tensors |= {
        f"weight.{name}": parameter.detach() for name, parameter in module.named_parameters()
    }
    save_file({"logits": logits.detach(), "loss": loss.detach().reshape(1), **tensors}, output)
    print(json.dumps({"loss": loss.item()}))


if __name__ == "__main__":
    main()
