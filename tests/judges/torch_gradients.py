"""Logits, loss and gradients by the PyTorch module in the documentation.

    torch_gradients.py weights.safetensors case.json output.safetensors

`case.json` has `config` (as in a model's config.json), `rows` of ids, `labels` and `class_weights`.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file

import documented
from read_bilstm import DOCS


def main():
    weights, case, output = map(pathlib.Path, sys.argv[1:])
    case = json.loads(case.read_text(encoding="utf-8"))
    module = documented.names(DOCS)["BiLstm"](**case["config"])
    module.load_state_dict(load_file(weights))
    logits = module(case["rows"])
    # The mean weighted by class, as nn.CrossEntropyLoss defines it.
    loss = torch.nn.CrossEntropyLoss(torch.tensor(case["class_weights"]))(logits, torch.tensor(case["labels"]))
    loss.backward()
    tensors = {f"gradient.{name}": parameter.grad for name, parameter in module.named_parameters()}
    save_file({"logits": logits.detach(), "loss": loss.detach().reshape(1), **tensors}, output)
    print(json.dumps({"loss": loss.item()}))


if __name__ == "__main__":
    main()
