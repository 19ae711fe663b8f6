"""Writes test/fixtures/analysis.json: what goes on inside a small Vision Transformer, as PyTorch and NumPy compute it.

usage: /usr/bin/python3 reference/make_analysis_reference.py [OUT.json]      (needs python3-torch and numpy)

Weights and images come from whole-number formulas, which the test repeats, so that only results are stored. The model is
that of models.py, watched by hooks; everything is computed in float64 from float32 weights.
"""

import json
import math
import os
import sys

import numpy as np
import torch

from models import VisionTransformer

IMAGE, PATCH, WIDTH, DEPTH, HEADS, COUNT = 12, 4, 8, 2, 2, 6


def weights(model):
    """Fills all parameters but the position table, in the order of their names."""
    names = sorted(name for name, _ in model.named_parameters() if name != "pos_embed")
    for t, name in enumerate(names):
        parameter = dict(model.named_parameters())[name]
        k = np.arange(parameter.numel())
        values = ((7919 * k + 104729 * t + k * k) % 1009) / 1009 - 0.5
        if "norm" in name and name.endswith("weight"):
            values = 1 + values
        values = values.astype(np.float32).astype(np.float64)
        parameter.data = torch.tensor(values).reshape(parameter.shape)
    model.pos_embed.data = model.pos_embed.data.float().double()


def images():
    """[COUNT, 3, IMAGE, IMAGE], bytes of a formula, normalised with ImageNet's mean and deviation."""
    i, c, y, x = np.mgrid[0:COUNT, 0:3, 0:IMAGE, 0:IMAGE]
    pixels = ((31 * x + 57 * y + 101 * c + 77 * i) * (x + 3 * y + 2 * i + 1)) % 256
    mean = np.array([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    std = np.array([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    return torch.tensor((pixels / 255 - mean) / std)


def look_inside(model, batch):
    """Tokens of every depth, [DEPTH + 1][COUNT, 1 + P, WIDTH], and attention, [DEPTH][COUNT, HEADS, 1 + P, 1 + P]."""
    tokens, attention = [], []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda _, inputs: tokens.append(inputs[0]))

        def watch(qkv, _, output):
            count, length, _ = output.shape
            query, key, _ = output.reshape(count, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
            scores = torch.einsum("bhqc,bhkc->bhqk", query, key) / math.sqrt(WIDTH / HEADS)
            attention.append(scores.softmax(dim=-1))

        block.attn.qkv.register_forward_hook(watch)
    model.norm.register_forward_pre_hook(lambda _, inputs: tokens.append(inputs[0]))
    model.tokens(batch)
    return tokens, attention


def distances(weights):
    """[COUNT, HEADS]: patch to patch, not renormalised; sum over keys, mean over queries."""
    row, column = np.mgrid[0 : IMAGE // PATCH, 0 : IMAGE // PATCH] * PATCH
    centres = torch.tensor(np.stack([row.ravel(), column.ravel()], axis=1).astype(np.float64))
    return (weights[:, :, 1:, 1:] * torch.cdist(centres, centres)).sum(-1).mean(-1)


def statistics(features):
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    correlation = np.corrcoef(features, rowvar=False)
    eigenvalues = np.linalg.eigvalsh(np.cov(features, rowvar=False))
    off_diagonal = correlation[~np.eye(WIDTH, dtype=bool)]
    return {
        "norm": np.linalg.norm(features, axis=1).mean(),
        "deviation": unit.std(axis=0).mean() * math.sqrt(WIDTH),
        "correlation": (off_diagonal**2).mean(),
        "participationRatio": eigenvalues.sum() ** 2 / (eigenvalues**2).sum(),
    }


def cka(x, y):
    """Kornblith et al. 2019, equation 5 with the HSIC of linear kernels, which centres the kernels rather than the features."""
    centre = np.eye(COUNT) - 1 / COUNT

    def hsic(a, b):
        return np.trace(a @ a.T @ centre @ b @ b.T @ centre)

    return hsic(x, y) / math.sqrt(hsic(x, x) * hsic(y, y))


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, (list, np.ndarray)):
        return [rounded(each) for each in value]
    return round(float(value), 6)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "test", "fixtures", "analysis.json")
    torch.set_default_dtype(torch.float64)
    model = VisionTransformer(IMAGE, PATCH, WIDTH, DEPTH, HEADS)
    weights(model)
    with torch.no_grad():
        tokens, attention = look_inside(model, images())
        features = [torch.nn.functional.layer_norm(x[:, 0], [WIDTH], model.norm.weight, model.norm.bias, 1e-6) for x in tokens]
    features = [each.numpy() for each in features]
    means = [x[:, 1:].mean(dim=1).numpy() for x in tokens]
    result = {
        "features": features,
        "tokens": means,
        "distances": [distances(each).numpy() for each in attention],
        "attention": [each[:, :, 0, 1:].mean(dim=1).numpy() for each in attention],
        "statistics": [statistics(each) for each in means],
        "cka": [[cka(a, b) for b in features[1:]] for a in means],
    }
    with open(out, "w") as file:
        json.dump(rounded(result), file)


if __name__ == "__main__":
    main()
