"""Writes test/fixtures/torch/: one checkpoint as several versions and formats of torch.save write it.

usage: /usr/bin/python3 reference/make_checkpoint_files.py [FOLDER]      (PyTorch 1.13: archive and the format before 1.6)
       python3 reference/make_checkpoint_files.py [FOLDER]               (PyTorch 2: archive, and one with pickle protocol 5)

It holds what training scripts put beside the weights: arguments, an optimizer, a schedule, NumPy numbers. Tensor t has the
elements ((37 i + 11 t) mod 101 - 50) / 32, or their whole part, so that the test knows them.
"""

import argparse
import collections
import os
import pathlib
import sys

import numpy as np
import torch


def numbers(t, *shape):
    i = torch.arange(int(np.prod(shape, dtype=int)))
    return (((37 * i + 11 * t) % 101 - 50).to(torch.float64) / 32).reshape(shape)


def make_model():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2))
    with torch.no_grad():
        model[0].weight.copy_(numbers(0, 2, 3))
        model[0].bias.copy_(numbers(1, 2))
    return model


def make_checkpoint():
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-4, betas=(0.9, 0.95))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    model = make_model()
    whole = numbers(9, 4, 3).to(torch.float32)
    tensors = {
        "float16": numbers(2, 5).to(torch.float16),
        "bfloat16": numbers(3, 5).to(torch.bfloat16),
        "float64": numbers(4, 3),
        "int64": numbers(5, 3).to(torch.int64),
        "int32": numbers(6, 3).to(torch.int32),
        "int16": numbers(7, 3).to(torch.int16),
        "int8": numbers(8, 3).to(torch.int8),
        "uint8": numbers(9, 3).abs().to(torch.uint8),
        "bool": numbers(10, 5) > 0,
        "special": torch.tensor([float("inf"), -float("inf"), 2.0**-24, -0.0, 65504, 1 / 3], dtype=torch.float16),
        "scalar": numbers(11).to(torch.float32),
        "empty": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(numbers(12, 2).to(torch.float32)),
        "transposed": whole.t(),
        "permuted": numbers(13, 2, 3, 4).to(torch.float16).permute(2, 0, 1),
        "row": whole[2],
        "column": whole[:, 1],
        "shared": whole,
    }
    args = argparse.Namespace(
        lr=1.5e-4,
        epochs=800,
        seed=2**40,
        mask=None,
        pin=True,
        blocks=[1, 2, [3, "ä"]],
        output=pathlib.PurePosixPath("/runs/mae"),
        device=torch.device("cuda", 1),
        dtype=torch.float16,
        size=torch.Size([224, 224]),
        tags={"b"},
    )
    counts = collections.defaultdict(int)
    counts["seen"] = 7
    return {
        "model": model.state_dict(),
        "tensors": collections.OrderedDict(tensors),
        "optimizer": optimizer.state_dict(),
        "schedule": {"milestones": collections.Counter([3, 3, 5])},
        "args": args,
        "counts": counts,
        "epoch": 12,
        "best": np.float64(0.75),
        "best32": np.float32(-1.5),
        "steps": np.int64(-3),
        "better": np.bool_(True),
        "raw": b"\x00\xff",
    }


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "test", "fixtures", "torch")
    os.makedirs(folder, exist_ok=True)
    old = torch.__version__.startswith("1.")
    files = {
        "archive-1.13.pth": {},
        "pickles-1.13.pth.tar": {"_use_new_zipfile_serialization": False},
    } if old else {
        "archive-2.pt": {},
        "protocol-5.bin": {"pickle_protocol": 5},
    }
    for name, options in files.items():
        path = os.path.join(folder, name)
        torch.save(make_checkpoint(), path, **options)
        print(f"{os.path.normpath(path)}: {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
