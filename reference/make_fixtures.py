"""Writes parity fixtures: small models, their inputs and what PyTorch computes from them in float64.

usage: make_fixtures.py OUT                               the committed set (test/fixtures)
       make_fixtures.py OUT --kind graft --seed 5         the committed ones of a kind, from other random numbers
       make_fixtures.py OUT --preset larger               bigger models, to check by hand; not committed
       add --check to see how far plain float32 PyTorch is from each fixture
"""

import argparse
import json
import math
import os
import struct
import zlib

import numpy as np
import torch

from models import MaskedAutoencoder, MoCo, SimCLR, SimMIM, VICReg, load, randomise

MAE_KEYS = (
    ["image", "patch", "width", "depth", "heads"]
    + ["decoderWidth", "decoderDepth", "decoderHeads", "maskRatio", "normPix"]
)
MOCO_KEYS = (
    ["image", "patch", "width", "depth", "heads"] + ["mlpDim", "dim", "temperature", "momentum", "freezePatchEmbed"]
)

COMMITTED = {
    "mae-normpix": ("mae", 5, dict(
        image=16, patch=4, width=12, depth=2, heads=2,
        decoderWidth=16, decoderDepth=1, decoderHeads=4, maskRatio=0.6, normPix=True)),
    "mae-raw": ("mae", 3, dict(
        image=12, patch=3, width=16, depth=1, heads=4,
        decoderWidth=12, decoderDepth=2, decoderHeads=2, maskRatio=0.6, normPix=False)),
    "mocov3-frozen": ("mocov3", 6, dict(
        image=12, patch=4, width=12, depth=2, heads=2,
        mlpDim=20, dim=8, temperature=0.2, momentum=0.9, freezePatchEmbed=True)),
    "mocov3-free": ("mocov3", 5, dict(
        image=8, patch=2, width=12, depth=2, heads=3,
        mlpDim=16, dim=12, temperature=0.5, momentum=0.99, freezePatchEmbed=False)),
    "mocov3-own-positions": ("mocov3", 4, dict(
        image=8, patch=4, width=8, depth=1, heads=2,
        mlpDim=8, dim=6, temperature=0.2, momentum=0.9, freezePatchEmbed=False)),
    "graft-own-positions": ("graft", 4, dict(
        image=8, patch=4, width=8, depth=2, heads=2,
        mlpDim=8, dim=6, temperature=0.2, momentum=0.9, freezePatchEmbed=False,
        stageLearningRates=[0.0005, 0.002], weightDecay=0.2, betas=[0.9, 0.999], eps=1e-8, steps=3,
        l1Weight=0.0, l1Blocks=0)),
    "graft-three-stages": ("graft", 6, dict(
        image=8, patch=4, width=8, depth=3, heads=2,
        mlpDim=16, dim=8, temperature=0.2, momentum=0.9, freezePatchEmbed=False,
        stageLearningRates=[0.0002, 0.001, 0.003], weightDecay=0.5, betas=[0.9, 0.999], eps=1e-8, steps=3,
        l1Weight=0.0, l1Blocks=0)),
    "graft-l1": ("graft", 5, dict(
        image=8, patch=4, width=8, depth=2, heads=2,
        mlpDim=16, dim=8, temperature=0.2, momentum=0.95, freezePatchEmbed=False,
        stageLearningRates=[0.0015, 0.001], weightDecay=0.3, betas=[0.9, 0.95], eps=1e-8, steps=4,
        l1Weight=0.02, l1Blocks=1)),
    "graft-two-stages-frozen": ("graft", 6, dict(
        image=8, patch=4, width=8, depth=4, heads=2,
        mlpDim=12, dim=8, temperature=0.3, momentum=0.99, freezePatchEmbed=True,
        stageLearningRates=[0.0004, 0.002], weightDecay=0.4, betas=[0.9, 0.999], eps=1e-8, steps=4,
        l1Weight=0.0, l1Blocks=0)),
    "joint": ("joint", 6, dict(
        image=12, patch=4, width=8, depth=3, heads=2,
        decoderWidth=12, decoderDepth=1, decoderHeads=3, maskRatio=0.6, normPix=True,
        mlpDim=16, dim=8, temperature=0.2, momentum=0.9, freezePatchEmbed=False)),
    "simclr": ("simclr", 5, dict(
        image=4, patch=2, width=8, depth=1, heads=2, mlpDim=8, dim=6, temperature=0.3)),
    "vicreg": ("vicreg", 6, dict(
        image=4, patch=2, width=8, depth=1, heads=2, mlpDim=8, dim=7, invariance=20, variance=25, covariance=2)),
    "simmim": ("simmim", 3, dict(
        image=8, patch=2, width=8, depth=1, heads=2, maskRatio=0.6, maskUnit=2)),
    "reverse-graft": ("reverse-graft", 4, dict(
        image=6, patch=2, width=4, depth=2, heads=2,
        decoderWidth=4, decoderDepth=1, decoderHeads=1, maskRatio=0.6, normPix=True,
        frozenBlocks=1, learningRate=0.001, weightDecay=0.5, betas=[0.9, 0.95], eps=1e-8, steps=3)),
    "frozen-graft": ("frozen-graft", 5, dict(
        image=4, patch=2, width=4, depth=2, heads=2,
        mlpDim=6, dim=4, temperature=0.2, momentum=0.9, freezePatchEmbed=False,
        frozenBlocks=1, learningRate=0.001, weightDecay=0.5, betas=[0.9, 0.999], eps=1e-8, steps=3)),
}

LARGE_SIZE = dict(image=32, patch=8, width=48, depth=6, heads=3)
LARGE_DECODER = dict(decoderWidth=32, decoderDepth=2, decoderHeads=4, maskRatio=0.75, normPix=True)
LARGE_HEADS = dict(mlpDim=96, dim=32, temperature=0.2, momentum=0.99, freezePatchEmbed=True)
# Adam's first step is the sign of each gradient, so an element whose gradient is lost in float32's rounding is off by up
# to twice the rate. The rates are low enough for that to stay within tolerance, the decay high enough to show.
LARGE_FROZEN = dict(
    frozenBlocks=3, learningRate=0.00005, weightDecay=2.0, betas=[0.9, 0.999], eps=1e-8, steps=5)
LARGE_TRAINING = dict(
    stageLearningRates=[0.00005, 0.00005, 0.0002], weightDecay=2.0, betas=[0.9, 0.999], eps=1e-8, steps=5,
    l1Weight=0.0, l1Blocks=0)
LARGER = {
    "mae-larger": ("mae", 8, {**LARGE_SIZE, **LARGE_DECODER}),
    "mae-many-patches": ("mae", 4, {**LARGE_SIZE, **LARGE_DECODER, "image": 64, "maskRatio": 0.9, "normPix": False}),
    "mocov3-larger": ("mocov3", 16, {**LARGE_SIZE, **LARGE_HEADS}),
    "mocov3-larger-free": ("mocov3", 8, {**LARGE_SIZE, **LARGE_HEADS, "freezePatchEmbed": False}),
    "graft-larger": ("graft", 8, {**LARGE_SIZE, **LARGE_HEADS, **LARGE_TRAINING}),
    "graft-larger-l1": ("graft", 8, {
        **LARGE_SIZE, **LARGE_HEADS, **LARGE_TRAINING, "l1Weight": 0.01, "l1Blocks": 3, "freezePatchEmbed": False}),
    "simclr-larger": ("simclr", 16, {**LARGE_SIZE, "mlpDim": 96, "dim": 32, "temperature": 0.2}),
    "vicreg-larger": ("vicreg", 16, {
        **LARGE_SIZE, "mlpDim": 96, "dim": 128, "invariance": 25, "variance": 25, "covariance": 1}),
    "vicreg-larger-narrow": ("vicreg", 32, {
        **LARGE_SIZE, "mlpDim": 96, "dim": 12, "invariance": 25, "variance": 25, "covariance": 1}),
    "simmim-larger": ("simmim", 8, {**LARGE_SIZE, "maskRatio": 0.6, "maskUnit": 1}),
    "simmim-larger-squares": ("simmim", 8, {**LARGE_SIZE, "image": 64, "maskRatio": 0.6, "maskUnit": 2}),
    "reverse-graft-larger": ("reverse-graft", 8, {**LARGE_SIZE, **LARGE_DECODER, **LARGE_FROZEN}),
    "frozen-graft-larger": ("frozen-graft", 16, {
        **LARGE_SIZE, **LARGE_HEADS, **LARGE_FROZEN, "freezePatchEmbed": False}),
    "joint-larger": ("joint", 8, {**LARGE_SIZE, **LARGE_DECODER, **LARGE_HEADS, "freezePatchEmbed": False}),
}


def pick(config, keys):
    return {key: config[key] for key in keys}


def write_safetensors(path, tensors, metadata):
    header, offset = {"__metadata__": metadata}, 0
    for name, value in tensors.items():
        kind = {"float32": "F32", "int64": "I64"}[value.dtype.name]
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [offset, offset + value.nbytes]}
        offset += value.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for value in tensors.values():
            file.write(np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<")).tobytes())


def zero_key_bias_gradients(model):
    """A bias on the keys shifts all of a query's scores alike, which softmax ignores: its gradient is exactly zero.

    Autograd leaves rounding noise there. Adam and the sign in the L1 term would turn noise into steps of the learning
    rate's size, which no other implementation could reproduce.
    """
    for name, parameter in model.named_parameters():
        if name.endswith("qkv.bias") and parameter.grad is not None:
            width = len(parameter) // 3
            parameter.grad[width : 2 * width] = 0


def gradients(model, loss):
    model.zero_grad(set_to_none=True)
    loss.backward()
    zero_key_bias_gradients(model)
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


def images(generator, batch, config):
    return generator.standard_normal((batch, 3, config["image"], config["image"])).astype(np.float32)


def noise(generator, batch, config):
    return generator.uniform(size=(batch, (config["image"] // config["patch"]) ** 2)).astype(np.float32)


def views(generator, batch, config, suffix=""):
    """Two views of the same pictures: alike, so that the contrastive task can be learned, but not equal."""
    base = images(generator, batch, config)
    return {
        f"view{index}{suffix}": (0.8 * base + 0.6 * images(generator, batch, config)).astype(np.float32)
        for index in (1, 2)
    }


# Each kind has a `make_*`, which draws parameters and inputs, and a `run_*`, which computes the results from them in
# PyTorch's default precision.


def make_mae(config, batch, generator):
    parameters = randomise(MaskedAutoencoder(**config), generator)
    return parameters, {"images": images(generator, batch, config), "noise": noise(generator, batch, config)}


def run_mae(config, parameters, inputs):
    model = load(MaskedAutoencoder(**config), parameters)
    loss, prediction, mask = model(inputs["images"], inputs["noise"])
    results = {"loss": loss, "prediction": prediction, "mask": mask}
    results.update((f"grad.{name}", grad) for name, grad in gradients(model, loss).items())
    return results


def make_mocov3(config, batch, generator):
    return randomise(MoCo(**config), generator), views(generator, batch, config)


def run_mocov3(config, parameters, inputs):
    model = load(MoCo(**config), parameters)
    loss = model(inputs["view1"], inputs["view2"])
    results = {"loss": loss}
    results.update((f"grad.{name}", grad) for name, grad in gradients(model, loss).items())
    results.update((f"param.{name}", p) for name, p in model.named_parameters() if name.startswith("momentum_encoder."))
    return results


def make_from(model_class, draw):
    """Makes a kind whose config is the model's and whose inputs `draw` draws."""
    return lambda config, batch, generator: (
        randomise(model_class(**config), generator),
        draw(generator, batch, config),
    )


def run_from(model_class):
    """Runs a kind whose model turns its inputs into the loss."""

    def run(config, parameters, inputs):
        model = load(model_class(**config), parameters)
        loss = model(**inputs)
        return {"loss": loss, **{f"grad.{name}": grad for name, grad in gradients(model, loss).items()}}

    return run


def squares(generator, batch, config):
    count = (config["image"] // config["patch"] // config["maskUnit"]) ** 2
    return {
        "images": images(generator, batch, config),
        "noise": generator.uniform(size=(batch, count)).astype(np.float32),
    }


def block_index(name):
    """The i of blocks.i in a base encoder's parameter name, else None."""
    parts = name.split(".")
    return int(parts[2]) if parts[:2] == ["base_encoder", "blocks"] else None


def is_embedding(name):
    return name.startswith("base_encoder.") and name.split(".")[1] in ("cls_token", "pos_embed", "patch_embed")


def learning_rate(name, config):
    rates = config["stageLearningRates"]
    if is_embedding(name):
        return rates[0]
    index = block_index(name)
    return rates[-1] if index is None else rates[index // (config["depth"] // len(rates))]


def is_anchored(name, config):
    """Whether the L1 term holds this parameter near its initial value."""
    index = block_index(name)
    return is_embedding(name) or (index is not None and index + 1 <= config["l1Blocks"])


def train(model, config, loss, rate, penalty=lambda: 0):
    """AdamW steps on all that is trainable. `losses` are without the penalty; vectors do not decay."""
    groups = [
        {"params": [p], "lr": rate(name), "weight_decay": 0.0 if p.ndim == 1 else config["weightDecay"]}
        for name, p in model.named_parameters()
        if p.requires_grad
    ]
    optimiser = torch.optim.AdamW(groups, betas=tuple(config["betas"]), eps=config["eps"])
    losses = []
    for step in range(config["steps"]):
        now = loss(step)
        losses.append(now.detach())
        gradients(model, now + penalty())
        optimiser.step()
    results = {"losses": torch.stack(losses)}
    results.update((f"param.{name}", p) for name, p in model.named_parameters())
    return results


def freeze_lower(encoder, blocks):
    """Leaves class token, patch embedding and the lowest blocks untrained, as the position table always is."""
    encoder.cls_token.requires_grad_(False)
    for part in [encoder.patch_embed, *encoder.blocks[:blocks]]:
        part.requires_grad_(False)


def make_graft(config, batch, generator):
    parameters = randomise(MoCo(**pick(config, MOCO_KEYS)), generator)
    inputs = {}
    for step in range(config["steps"]):
        inputs.update(views(generator, batch, config, suffix=f".{step}"))
    return parameters, inputs


def run_graft(config, parameters, inputs):
    assert config["depth"] % len(config["stageLearningRates"]) == 0
    model = load(MoCo(**pick(config, MOCO_KEYS)), parameters)
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    anchors = {name: p.detach().clone() for name, p in trainable.items() if is_anchored(name, config)}

    def anchor():
        distance = sum((trainable[name] - anchor).abs().sum() for name, anchor in anchors.items())
        return config["l1Weight"] * distance

    return train(
        model,
        config,
        loss=lambda step: model(inputs[f"view1.{step}"], inputs[f"view2.{step}"]),
        rate=lambda name: learning_rate(name, config),
        penalty=anchor if config["l1Weight"] > 0 else lambda: 0,
    )


def run_frozen_graft(config, parameters, inputs):
    model = load(MoCo(**pick(config, MOCO_KEYS)), parameters)
    freeze_lower(model.base_encoder, config["frozenBlocks"])
    return train(
        model,
        config,
        loss=lambda step: model(inputs[f"view1.{step}"], inputs[f"view2.{step}"]),
        rate=lambda name: config["learningRate"],
    )


def make_reverse_graft(config, batch, generator):
    # The encoder comes from contrastive training, and its position table with it.
    parameters = randomise(MaskedAutoencoder(**pick(config, MAE_KEYS), layout="moco"), generator)
    inputs = {}
    for step in range(config["steps"]):
        inputs[f"images.{step}"] = images(generator, batch, config)
        inputs[f"noise.{step}"] = noise(generator, batch, config)
    return parameters, inputs


def run_reverse_graft(config, parameters, inputs):
    model = load(MaskedAutoencoder(**pick(config, MAE_KEYS), layout="moco"), parameters)
    freeze_lower(model, config["frozenBlocks"])
    return train(
        model,
        config,
        loss=lambda step: model(inputs[f"images.{step}"], inputs[f"noise.{step}"])[0],
        rate=lambda name: config["learningRate"],
    )


def make_joint(config, batch, generator):
    mim = randomise(MaskedAutoencoder(**pick(config, MAE_KEYS)), generator)
    contrastive = MoCo(**pick(config, MOCO_KEYS), layout="mae")
    # One encoder: the contrastive model takes the autoencoder's, and its momentum encoder stays near that one.
    drawn = randomise(contrastive, generator)
    shared = {"base_encoder." + name: value for name, value in mim.items() if "base_encoder." + name in drawn}
    cl = {**drawn, **shared}
    for name, value in shared.items():
        slow = name.replace("base_encoder.", "momentum_encoder.")
        cl[slow] = (value + drawn[slow] - drawn[name]).astype(np.float32)
    parameters = {**{f"mim.{name}": v for name, v in mim.items()}, **{f"cl.{name}": v for name, v in cl.items()}}
    inputs = {"images": images(generator, batch, config), "noise": noise(generator, batch, config)}
    return parameters, {**inputs, **views(generator, batch, config)}


def run_joint(config, parameters, inputs):
    def part(prefix):
        return {name[len(prefix) :]: value for name, value in parameters.items() if name.startswith(prefix)}

    mim = load(MaskedAutoencoder(**pick(config, MAE_KEYS)), part("mim."))
    cl = load(MoCo(**pick(config, MOCO_KEYS), layout="mae"), part("cl."))
    mim_loss = mim(inputs["images"], inputs["noise"])[0]
    cl_loss = cl(inputs["view1"], inputs["view2"])
    mim_gradients, cl_gradients = gradients(mim, mim_loss), gradients(cl, cl_loss)
    cosines = []
    for index in range(config["depth"]):
        names = [name for name in mim_gradients if name.startswith(f"blocks.{index}.")]
        first = torch.cat([mim_gradients[name].flatten() for name in names])
        second = torch.cat([cl_gradients["base_encoder." + name].flatten() for name in names])
        cosines.append(first @ second / (first.norm() * second.norm()))
    return {"loss.mim": mim_loss, "loss.cl": cl_loss, "cosine": torch.stack(cosines)}


KINDS = {
    "mae": (make_mae, run_mae),
    "mocov3": (make_mocov3, run_mocov3),
    "simclr": (make_from(SimCLR, views), run_from(SimCLR)),
    "vicreg": (make_from(VICReg, views), run_from(VICReg)),
    "simmim": (make_from(SimMIM, squares), run_from(SimMIM)),
    "graft": (make_graft, run_graft),
    "frozen-graft": (make_graft, run_frozen_graft),
    "reverse-graft": (make_reverse_graft, run_reverse_graft),
    "joint": (make_joint, run_joint),
}


def compute(kind, config, parameters, inputs, precision):
    torch.set_default_dtype(precision)
    ready = {name: torch.from_numpy(value).to(precision) for name, value in inputs.items()}
    results = KINDS[kind][1](config, parameters, ready)
    return {name: value.detach().double().numpy() for name, value in results.items()}


def report_float32(kind, config, parameters, inputs, results):
    """Prints each group's largest relative error of float32 PyTorch, the worst tensor first."""
    single = compute(kind, config, parameters, inputs, torch.float32)
    worst = {}
    for name, value in results.items():
        size = np.linalg.norm(value)
        error = np.linalg.norm(single[name] - value)
        worst.setdefault(name.split(".")[0], []).append((error / size if size > 0 else math.inf, name, size))
    for group, rows in worst.items():
        rows.sort(reverse=True)
        print("   ", group, "; ".join(f"{name} {error:.1e} (norm {size:.1e})" for error, name, size in rows[:3]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--kind", choices=sorted(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preset", choices=["committed", "larger"], default="committed")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.makedirs(options.out, exist_ok=True)
    for name, (kind, batch, config) in (COMMITTED if options.preset == "committed" else LARGER).items():
        if options.kind not in (None, kind):
            continue
        torch.set_default_dtype(torch.float64)
        generator = np.random.RandomState((zlib.crc32(name.encode()) + options.seed) % 2**32)
        parameters, inputs = KINDS[kind][0](config, batch, generator)
        if name.endswith("own-positions"):
            # A momentum encoder from elsewhere may have another table; it follows its source's as every parameter does.
            table = parameters["momentum_encoder.pos_embed"]
            table += (0.1 * generator.standard_normal(table.shape)).astype(np.float32)
        results = compute(kind, config, parameters, inputs, torch.float64)
        tensors = {f"param.{key}": value for key, value in parameters.items()}
        tensors.update((f"input.{key}", value) for key, value in inputs.items())
        tensors.update((f"expect.{key}", value.astype(np.float32)) for key, value in results.items())
        path = os.path.join(options.out, f"{name}.safetensors")
        write_safetensors(path, tensors, {"kind": kind, "config": json.dumps(config)})
        shown = {key: np.round(value, 4).tolist() for key, value in results.items() if value.size < 8 and "loss" in key}
        print(f"{path}: {kind}, {len(tensors)} tensors, {os.path.getsize(path)} bytes, {shown}")
        if options.check:
            report_float32(kind, config, parameters, inputs, results)


if __name__ == "__main__":
    main()
