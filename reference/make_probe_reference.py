"""Writes test/fixtures/probe.json: linear classifiers after a few optimizer steps in PyTorch, each trained by itself.

usage: /usr/bin/python3 reference/make_probe_reference.py [OUT.json]      (needs python3-torch)

Features, labels and first weights are exact in float32 and come from the formulas below, which the test repeats; all is
computed in float64. What is stored is the logits of every head, in evaluation mode, on the first rows of
the first batch: one more than there are features, which pins down weights and biases.

SGD is torch.optim.SGD. LARS is written from MoCo v3's description: tensors of more than one dimension get weight decay
and then the trust ratio 0.001 |p| / |g|, 1 if either norm is 0; m = momentum m + g; p = p - rate m.
"""

import json
import os
import sys

import torch
import torch.nn as nn

BATCH, WIDTH, CLASSES, STEPS = 12, 5, 3, 10
# Rate and weight decay of each head. LARS has large ones: it moves a weight by about a thousandth of its rate. At rates
# above 10 its biases, which it does not scale, swing so far that float32 and float64 part ways.
SGD_HEADS = [[0.01, 0], [0.3, 0], [0.3, 0.1], [2, 0.01]]
LARS_HEADS = [[1, 0], [10, 0], [10, 0.5], [5, 2]]
CASES = [
    {"name": "SGD", "optimizer": "sgd", "momentum": 0, "batchNorm": False, "heads": SGD_HEADS},
    {"name": "SGD with momentum", "optimizer": "sgd", "momentum": 0.9, "batchNorm": False, "heads": SGD_HEADS},
    {"name": "LARS", "optimizer": "lars", "momentum": 0.9, "batchNorm": False, "heads": LARS_HEADS},
    {"name": "LARS after batch normalisation", "optimizer": "lars", "momentum": 0.9, "batchNorm": True, "heads": LARS_HEADS},
    {"name": "LARS from zero weights", "optimizer": "lars", "momentum": 0.9, "batchNorm": False, "zero": True, "heads": LARS_HEADS},
]


def features(step):
    return torch.tensor([[((7 * i + 3 * j * j + 5 * step + i * j) % 17 - 6) / 8 for j in range(WIDTH)] for i in range(BATCH)]).double()


def labels(step):
    return torch.tensor([(i * i + step) % CLASSES for i in range(BATCH)])


def first_weight():
    return torch.tensor([[((5 * c + 3 * j + 1) % 7 - 3) / 16 for j in range(WIDTH)] for c in range(CLASSES)]).double()


def factor(step):
    """What the schedule multiplies the rate with."""
    return 1 - step / 16


class Lars:
    def __init__(self, parameters, decay, momentum):
        self.parameters, self.decay, self.momentum = list(parameters), decay, momentum
        self.buffers = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, rate):
        for p, buffer in zip(self.parameters, self.buffers):
            gradient = p.grad
            if p.dim() > 1:
                gradient = gradient + self.decay * p
                size, length = p.norm(), gradient.norm()
                gradient = gradient * (0.001 * size / length if size > 0 and length > 0 else 1)
            buffer.mul_(self.momentum).add_(gradient)
            p.sub_(rate * buffer)


def train(case, rate, decay):
    norm = nn.BatchNorm1d(WIDTH, affine=False, eps=1e-6) if case["batchNorm"] else nn.Identity()
    linear = nn.Linear(WIDTH, CLASSES)
    model = nn.Sequential(norm, linear).double()
    with torch.no_grad():
        linear.weight.copy_(first_weight() * (0 if case.get("zero") else 1))
        linear.bias.zero_()
    if case["optimizer"] == "lars":
        optimizer = Lars(linear.parameters(), decay, case["momentum"])
    else:
        optimizer = torch.optim.SGD(linear.parameters(), lr=rate, weight_decay=decay, momentum=case["momentum"])
    for step in range(STEPS):
        model.zero_grad()
        nn.functional.cross_entropy(model(features(step)), labels(step)).backward()
        if case["optimizer"] == "lars":
            optimizer.step(rate * factor(step))
        else:
            optimizer.param_groups[0]["lr"] = rate * factor(step)
            optimizer.step()
    with torch.no_grad():
        return [round(x, 7) for x in model.eval()(features(0)[: WIDTH + 1]).reshape(-1).tolist()]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../test/fixtures/probe.json")
    cases = [{**case, "logits": [train(case, *head) for head in case["heads"]]} for case in CASES]
    with open(path, "w") as file:
        json.dump({"batch": BATCH, "width": WIDTH, "classes": CLASSES, "steps": STEPS, "cases": cases}, file)


main()
