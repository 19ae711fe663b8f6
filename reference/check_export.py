"""Loads what `layergraft export` wrote with the libraries it is for, and compares them with one another.

    layergraft export RUN --to safetensors --out check.safetensors
    layergraft export RUN --to transformers --out check-features
    layergraft export RUN --to transformers --classes IMAGES --out check-classes
    python reference/check_export.py check.safetensors check-features check-classes

Needs torch, timm, transformers, safetensors and onnx. The ONNX model is checked by onnx.checker and computed by ONNX's own
reference implementation; timm and transformers must load their weights strictly and agree with it to 1e-4.
"""

import glob
import json
import sys

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator
from safetensors import safe_open
from safetensors.torch import load_file
from timm.models import VisionTransformer
from transformers import AutoImageProcessor, ViTForImageClassification, ViTModel

TOLERANCE = 1e-4


def compare(what, found, expected):
    error = float(np.abs(np.asarray(found) - np.asarray(expected)).max())
    print(f"{what}: largest difference {error:.1e}")
    if not error <= TOLERANCE:
        sys.exit(f"{what} differs by more than {TOLERANCE}")


@torch.no_grad()
def timm_features(path, images):
    with safe_open(path, "pt") as file:
        model = json.loads(file.metadata()["model"])
    vit = VisionTransformer(
        img_size=model["imageSize"],
        patch_size=model["patchSize"],
        embed_dim=model["width"],
        depth=model["depth"],
        num_heads=model["heads"],
        num_classes=0,
    ).eval()
    vit.load_state_dict(load_file(path), strict=True)
    return vit(images).numpy()


@torch.no_grad()
def check_folder(folder, images, features):
    for path in sorted(glob.glob(f"{folder}/onnx/*.onnx")):
        onnx.checker.check_model(path, full_check=True)
        model = ReferenceEvaluator(path)
        outputs = dict(zip(model.output_names, model.run(None, {"pixel_values": images.numpy()})))
    config = json.load(open(f"{folder}/config.json"))
    if config["architectures"] == ["ViTModel"]:
        vit, info = ViTModel.from_pretrained(folder, add_pooling_layer=False, output_loading_info=True)
        found = vit.eval()(pixel_values=images).last_hidden_state.numpy()
        compare(f"{folder}: transformers and ONNX", found, outputs["last_hidden_state"])
        compare(f"{folder}: timm and ONNX", features, outputs["pooler_output"])
    else:
        vit, info = ViTForImageClassification.from_pretrained(folder, output_loading_info=True)
        compare(f"{folder}: transformers and ONNX", vit.eval()(images).logits.numpy(), outputs["logits"])
    if any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")):
        sys.exit(f"{folder}: the weights do not load strictly: {info}")
    processor = AutoImageProcessor.from_pretrained(folder)
    picture = np.zeros((300, 400, 3), np.uint8)
    shape = processor(picture, return_tensors="pt")["pixel_values"].shape
    if tuple(shape) != (1, 3, config["image_size"], config["image_size"]):
        sys.exit(f"{folder}: the image processor makes {tuple(shape)}")


def main(weights, *folders):
    with safe_open(weights, "pt") as file:
        size = json.loads(file.metadata()["model"])["imageSize"]
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    features = timm_features(weights, images)
    for folder in folders:
        check_folder(folder, images, features)


main(*sys.argv[1:])
