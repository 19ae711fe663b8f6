"""Writes test/fixtures/import/: small checkpoints as other codes write them, and the features that PyTorch computes from them.

usage: /usr/bin/python3 reference/make_import_reference.py [OUT]      with PyTorch 1.13 (Debian's python3-torch)
       python reference/make_import_reference.py [OUT]                again with PyTorch 2, timm and transformers

Whatever of timm and transformers is installed is the truth for its own layout; the layouts of MAE, MoCo v3 and
layer-grafted pre-training come from models.py under the names and in the dictionaries of the published files. Files are
compressed with gzip: weights are multiples of 1/32, so that little remains of them. Images are a formula that the test
repeats. features-1.json is of the first run, features-2.json of the second.
"""

import argparse
import gzip
import io
import json
import os
import sys
import tempfile

import torch

from models import MaskedAutoencoder, MoCo, VisionTransformer, sincos_table

IMAGE, PATCH, WIDTH, DEPTH, HEADS, COUNT = 16, 4, 16, 2, 2, 2
SIZES = {"image": IMAGE, "patch": PATCH, "width": WIDTH, "depth": DEPTH, "heads": HEADS}


def images():
    """[COUNT, 3, IMAGE, IMAGE], every value exact in float32."""
    n, c, y, x = torch.meshgrid(*(torch.arange(k) for k in (COUNT, 3, IMAGE, IMAGE)), indexing="ij")
    return (((31 * x + 57 * y + 101 * c + 77 * n) * (x + 3 * y + 2 * n + 1)) % 256).float() / 128 - 1


def fill(model, seed):
    """Multiples of 1/32 in every parameter but the fixed tables, around 1 in weights of norms."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad and "pos" in name:
                continue
            values = torch.randint(-8, 9, parameter.shape, generator=generator) / 32
            parameter.copy_(values + 1 if "norm" in name and name.endswith("weight") else values)
    return model.eval()


def rounded(values):
    return [round(float(value), 6) for value in values.flatten()]


def write(out, name, data):
    with open(os.path.join(out, name + ".gz"), "wb") as file:
        file.write(gzip.compress(data, mtime=0))


def torch_bytes(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def first_run(out):
    """MAE, MoCo v3 and layer-grafted pre-training."""
    batch, features = images(), {}

    full = fill(MaskedAutoencoder(**SIZES, decoderWidth=16, decoderDepth=1, decoderHeads=2, maskRatio=0.75, normPix=True), 1)
    weights = full.state_dict()
    encoder = {name: value for name, value in weights.items() if not name.startswith(("decoder", "mask_token"))}
    features["mae"] = features["mae-full"] = rounded(full.tokens(batch)[:, 0])
    write(out, "mae.pth", torch_bytes({"model": encoder}))
    args = argparse.Namespace(model="mae_vit_base_patch16", batch_size=64, norm_pix_loss=True, blr=1.5e-4)
    optimizer = torch.optim.AdamW(full.parameters()).state_dict()
    write(out, "mae-full.pth", torch_bytes({"model": weights, "optimizer": optimizer, "epoch": 799, "args": args}))

    for name, layout, legacy in (("moco", "moco", False), ("lgp", "mae", True)):
        options = {"mlpDim": 16, "dim": 8, "temperature": 0.2, "momentum": 0.99, "freezePatchEmbed": True}
        model = fill(MoCo(**SIZES, **options, layout=layout), 2 if name == "moco" else 3)
        wrapped = {"module." + key: value for key, value in model.state_dict().items()}
        for kind in ("base", "momentum"):
            features[f"{name} {kind}"] = rounded(getattr(model, kind + "_encoder").tokens(batch)[:, 0])
        contents = {"epoch": 300, "arch": "vit_base", "state_dict": wrapped, "optimizer": {}, "scaler": {}}
        write(out, name + ".pth.tar", torch_bytes(contents, _use_new_zipfile_serialization=not legacy))

    pooled = VisionTransformer(**SIZES, head=torch.nn.Linear(WIDTH, 3))
    pooled.fc_norm, pooled.norm = pooled.norm, torch.nn.Identity()
    pooled.pos_embed = torch.nn.Parameter(pooled.pos_embed.data)  # fine-tuning trains it
    fill(pooled, 4)
    features["fine-tuned"] = rounded(pooled.fc_norm(pooled.tokens(batch)[:, 1:].mean(dim=1)))
    write(out, "fine-tuned.pth", torch_bytes({"model": pooled.half().state_dict(), "epoch": 99}))
    return features


def second_run(out):
    """timm's ViT as a .pth in 16 bits, transformers' ViT in bfloat16 and ViTMAE, as their own codes save them."""
    import timm
    import transformers

    batch, features = images(), {}
    sizes = {"img_size": IMAGE, "patch_size": PATCH, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS}
    model = fill(timm.models.vision_transformer.VisionTransformer(**sizes, num_classes=3), 5)
    features["timm"] = rounded(model.forward_features(batch)[:, 0])
    write(out, "timm.pth", torch_bytes(model.half().state_dict()))

    sizes = {"image_size": IMAGE, "patch_size": PATCH, "hidden_size": WIDTH, "num_hidden_layers": DEPTH}
    sizes.update({"num_attention_heads": HEADS, "intermediate_size": 4 * WIDTH})
    model = fill(transformers.ViTForImageClassification(transformers.ViTConfig(**sizes)), 6)
    features["vit"] = rounded(model.vit(batch).last_hidden_state[:, 0])
    save_pretrained(out, "vit", model.bfloat16())
    decoder = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_intermediate_size": 64}
    config = transformers.ViTMAEConfig(**sizes, **decoder, decoder_num_attention_heads=2, mask_ratio=0.75)
    model = fill(transformers.ViTMAEForPreTraining(config), 7)
    for table in (model.vit.embeddings.position_embeddings, model.decoder.decoder_pos_embed):
        table.copy_(sincos_table(IMAGE // PATCH, WIDTH, "mae"))  # as in the published weights; a fresh model has zeros
    order = torch.arange(16)
    noise = ((7 * order) % 16 / 16).expand(COUNT, -1)
    features["vitmae prediction"] = rounded(model(batch, noise=noise).logits[:, :, :2])
    model.config.mask_ratio = 0.0
    features["vitmae"] = rounded(model.vit(batch).last_hidden_state[:, 0])
    save_pretrained(out, "vitmae", model)
    return features


def save_pretrained(out, name, model):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        for file in ("model.safetensors", "config.json"):
            with open(os.path.join(folder, file), "rb") as contents:
                write(out, f"{name}-{file}", contents.read())


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../test/fixtures/import")
    os.makedirs(out, exist_ok=True)
    version = torch.__version__.split(".")[0]
    with torch.no_grad():
        features = first_run(out) if version == "1" else second_run(out)
    with open(os.path.join(out, f"features-{version}.json"), "w") as file:
        json.dump(features, file)


main()
