"""Computes logits, loss and gradients of one row with the PyTorch module in the documentation.

    bag_gradients.py case.json

`case.json` has `embedding`, `weight` and `bias` as lists of rows, `terms`, their `weights`, and the
row's `label`. Prints JSON: `logits`, `loss`, and `gradients` of the three parameters in this order,
each as one list.
"""

import json
import pathlib
import sys

import documented
import torch
from read_bag import DOCS


def main():
    case = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    embedding, weight, bias = (torch.tensor(case[name]) for name in ("embedding", "weight", "bias"))
    module = documented.names(DOCS)["Bag"](*embedding.shape, len(bias))
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), (embedding, weight, bias), strict=True):
            parameter.copy_(value)
    terms, weights = torch.tensor(case["terms"]), torch.tensor(case["weights"])
    logits = module(terms, torch.tensor([0]), weights)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([case["label"]]))
    loss.backward()
    gradients = [parameter.grad.reshape(-1).tolist() for parameter in module.parameters()]
    print(json.dumps({"logits": logits[0].tolist(), "loss": loss.item(), "gradients": gradients}))


if __name__ == "__main__":
    main()
