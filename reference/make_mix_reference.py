"""Writes test/fixtures/mix.json: small batches mixed by mixup and cutmix, and their soft targets, by PyTorch.

usage: /usr/bin/python3 reference/make_mix_reference.py [OUT.json]      (needs python3-torch)

The images are [4, 3, 3, 5] with element i (row-major) equal to ((i * 37) % 101 - 50) / 32, which is exact in float32.
A case of cutmix has the lambda and the centre that were drawn; the box, cut off at the edges, and the lambda of its
real area follow from them.
"""

import json
import os
import sys

import torch

B, C, H, W = 4, 5, 3, 5
LABELS = [3, 0, 2, 2]


def make_images():
    i = torch.arange(B * 3 * H * W)
    return (((i * 37) % 101 - 50).to(torch.float32) / 32).reshape(B, 3, H, W)


def make_box(lam, x, y):
    """Rows and columns of the box: left, top, width, height."""
    cut_w, cut_h = int(W * (1 - lam) ** 0.5), int(H * (1 - lam) ** 0.5)
    x0, x1 = (min(max(v, 0), W) for v in (x - cut_w // 2, x + cut_w // 2))
    y0, y1 = (min(max(v, 0), H) for v in (y - cut_h // 2, y + cut_h // 2))
    return x0, y0, x1 - x0, y1 - y0


def soft_targets(lam, smoothing):
    labels = torch.tensor(LABELS).unsqueeze(1)
    off = smoothing / C
    smooth = torch.full((B, C), off, dtype=torch.float64).scatter(1, labels, 1 - smoothing + off)
    logits = torch.linspace(-1, 2, B * C, dtype=torch.float64).reshape(B, C)
    soft = torch.nn.functional.cross_entropy(logits, smooth)
    built_in = torch.nn.functional.cross_entropy(logits, labels.squeeze(1), label_smoothing=smoothing)
    assert abs(soft - built_in) < 1e-12
    return lam * smooth + (1 - lam) * smooth.flip(0)


def make_case(lam, smoothing, center=None):
    images = make_images()
    case = {"lambda": lam, "smoothing": smoothing}
    if center is None:
        images = lam * images + (1 - lam) * images.flip(0)
    else:
        x, y, w, h = make_box(lam, *center)
        images[:, :, y : y + h, x : x + w] = images.flip(0)[:, :, y : y + h, x : x + w]
        lam = 1 - w * h / (W * H)
        case.update(center=center, box=[x, y, w, h], corrected=lam)
    case["targets"] = [round(v, 7) for v in soft_targets(lam, smoothing).flatten().tolist()]
    case["images"] = [round(v, 5) for v in images.flatten().tolist()]
    return case


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "test", "fixtures", "mix.json")
    cases = [
        make_case(0.3, 0.1),
        make_case(0.85, 0),
        make_case(0.4, 0.1, (3, 1)),
        make_case(0.1, 0.1, (4, 0)),
        make_case(0.7, 0.2, (1, 2)),
    ]
    with open(out, "w") as file:
        json.dump({"shape": [B, 3, H, W], "classes": C, "labels": LABELS, "cases": cases}, file)
    print(f"{os.path.normpath(out)}: {len(cases)} cases")


if __name__ == "__main__":
    main()
