"""Writes test/fixtures/finetune.json: fine-tuning steps and resized position embeddings, by PyTorch in float64.

usage: /usr/bin/python3 reference/make_finetune_reference.py [OUT.json]      (needs python3-torch)

Three steps of AdamW on a ViT of two blocks with soft targets, drop path and layer decay. Nothing random: parameter n in
alphabetical order has as element i (row-major) ((37 i + 29 n) % 101 - 50) / 128, weights of norms 1 plus half of that;
images, targets and factors of drop path are as in `batch`. All are exact in float32 or nearly so.
"""

import json
import os
import sys

import torch
from torch import nn
from torch.nn import functional

from make_fixtures import zero_key_bias_gradients
from models import VisionTransformer

B, C = 4, 5
MODEL = {"image": 4, "patch": 2, "width": 4, "depth": 2, "heads": 2}
RATE, DECAY, WEIGHT_DECAY, DROP_PATH, STEPS = 4e-3, 0.6, 0.5, 0.4, 3


def pattern(shape, multiplier, offset):
    i = torch.arange(int(torch.tensor(shape).prod()))
    return ((multiplier * i + offset) % 101 - 50).double().reshape(shape)


def batch(step):
    """-> images [B, 3, 4, 4], targets [B, C], factors [B, 2 * depth]."""
    images = pattern((B, 3, 4, 4), 37, 53 * step) / 32
    weights = (5 * torch.arange(B * C).reshape(B, C) + step).remainder(7).double() + 1
    place = torch.arange(B * 4).reshape(B, 4)
    probability = torch.tensor([0, 0, DROP_PATH, DROP_PATH])
    dropped = ((place + step) % 3 == 0) & (probability > 0)
    return images, weights / weights.sum(1, keepdim=True), torch.where(dropped, 0.0, 1 / (1 - probability))


class Classifier(VisionTransformer):
    def __init__(self, pooling, first_layer):
        head = nn.Linear(MODEL["width"], C)
        if first_layer is not None:
            head = nn.Sequential(nn.Linear(MODEL["width"], first_layer, bias=False), nn.Linear(first_layer, C))
        super().__init__(**MODEL, layout="mae", head=head)
        if pooling == "mean":
            del self.norm
            self.fc_norm = nn.LayerNorm(MODEL["width"], eps=1e-6)

    def forward(self, images, factors):
        x = self.patch_embed(images) + self.pos_embed[:, 1:]
        start = (self.cls_token + self.pos_embed[:, :1]).expand(len(images), -1, -1)
        x = torch.cat([start, x], dim=1)
        for i, block in enumerate(self.blocks):
            x = x + factors[:, 2 * i, None, None] * block.attn(block.norm1(x))
            x = x + factors[:, 2 * i + 1, None, None] * block.mlp(block.norm2(x))
        feature = self.norm(x)[:, 0] if hasattr(self, "norm") else self.fc_norm(x[:, 1:].mean(dim=1))
        return self.head(feature)


def layer_rate(name):
    """Of depth + 2 layers: embeddings, blocks, all above."""
    if name.startswith(("cls_token", "patch_embed")):
        layer = 0
    elif name.startswith("blocks."):
        layer = int(name.split(".")[1]) + 1
    else:
        layer = MODEL["depth"] + 1
    return RATE * DECAY ** (MODEL["depth"] + 1 - layer)


def fine_tune(pooling="cls", first_layer=None, keep=lambda name: True):
    model = Classifier(pooling, first_layer)
    trained = {name: p for name, p in sorted(model.named_parameters()) if p.requires_grad}
    for n, (name, p) in enumerate(trained.items()):
        value = pattern(p.shape, 37, 29 * n) / 128
        p.data = 1 + value / 2 if "norm" in name and name.endswith("weight") else value
    groups = [
        {"params": [p], "lr": layer_rate(name), "weight_decay": 0 if p.ndim == 1 or name == "cls_token" else WEIGHT_DECAY}
        for name, p in trained.items()
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8)
    losses = []
    for step in range(STEPS):
        images, targets, factors = batch(step)
        loss = functional.cross_entropy(model(images, factors), targets)
        optimizer.zero_grad()
        loss.backward()
        zero_key_bias_gradients(model)
        optimizer.step()
        losses.append(loss.item())
    weights = {name: digits(p, 7) for name, p in trained.items() if keep(name)}
    return {"pooling": pooling, "firstLayer": first_layer, "losses": losses, "weights": weights}


def resize(grid, side):
    table = pattern((1, 1 + grid**2, 2), 37, 0) / 32
    places = table[:, 1:].reshape(1, grid, grid, 2).permute(0, 3, 1, 2)
    places = functional.interpolate(places, size=(side, side), mode="bicubic", align_corners=False)
    resized = torch.cat([table[:, :1], places.permute(0, 2, 3, 1).reshape(1, side**2, 2)], dim=1)
    return {"grid": grid, "side": side, "values": digits(resized, 6)}


def digits(values, count):
    return [float(f"{value:.{count}g}") for value in values.detach().flatten().tolist()]


def main():
    torch.set_default_dtype(torch.float64)
    here = os.path.dirname(os.path.abspath(__file__))
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "test", "fixtures", "finetune.json")
    above = lambda name: name.startswith(("head", "fc_norm", "patch_embed.proj.bias"))
    reference = {
        "model": {"imageSize": MODEL["image"], "patchSize": MODEL["patch"], "width": 4, "depth": 2, "heads": 2},
        "batch": B,
        "classes": C,
        "rate": RATE,
        "layerDecay": DECAY,
        "weightDecay": WEIGHT_DECAY,
        "dropPath": DROP_PATH,
        "cases": [fine_tune(), fine_tune("mean", keep=above), fine_tune(first_layer=6, keep=above)],
        "positions": [resize(3, 5), resize(4, 3), resize(2, 1)],
    }
    with open(path, "w") as file:
        json.dump(reference, file)
        file.write("\n")


main()
