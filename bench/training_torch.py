"""What the benches train, in PyTorch as its users write it: model, AdamW and a step.

The models are those of ../reference, whose losses and gradients are layergraft's; here they are put together as one does
who wants speed. Import this after `set_threads`.
"""

import ctypes
import json
import mmap
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference"))

import models
import torch
from torch.nn import functional


def say(value):
    print(json.dumps(value), flush=True)


class FusedAttention(models.Attention):
    """The same by PyTorch's own kernel, as timm calls it."""

    def forward(self, x):
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*qkv.unbind(0))
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Encoder(models.VisionTransformer):
    """Trained by the mean square of the class token after the final norm."""

    def forward(self, images):
        return (super().forward(images).float() ** 2).mean()


class Autoencoder(models.MaskedAutoencoder):
    def forward(self, images, noise):
        return super().forward(images, noise)[0]


class Contrast(models.MoCo):
    """Both views pass a backbone together, and the heads one after the other: batch statistics are a view's own."""

    def __init__(self, **config):
        super().__init__(**config)
        self.momentum_encoder.load_state_dict(self.base_encoder.state_dict())

    @torch.no_grad()
    def update_momentum_encoder(self):
        for slow, fast in zip(self.momentum_encoder.parameters(), self.base_encoder.parameters()):
            slow.lerp_(fast, 1 - self.momentum)

    def contrast(self, query, key):
        query, key = functional.normalize(query.float(), dim=1), functional.normalize(key.float(), dim=1)
        labels = torch.arange(len(query), device=query.device)
        return 2 * self.temperature * functional.cross_entropy(query @ key.T / self.temperature, labels)

    def forward(self, view1, view2):
        both = torch.cat([view1, view2])
        features = self.base_encoder.tokens(both)[:, 0].chunk(2)
        query1, query2 = (self.predictor(self.base_encoder.head(each)) for each in features)
        with torch.no_grad():
            features = self.momentum_encoder.tokens(both)[:, 0].chunk(2)
            key1, key2 = (self.momentum_encoder.head(each) for each in features)
        return self.contrast(query1, key2) + self.contrast(query2, key1)


KINDS = {"encoder": Encoder, "mim": Autoencoder, "cl": Contrast}


def build(task, device="cpu", fused=False):
    """The model of a task, as bench/task.ts tells it."""
    if fused:
        models.Attention = FusedAttention  # blocks that are built from now on have it
    options = {key: value for key, value in task["model"].items() if value is not None}
    return KINDS[task["objective"]](**options).train().to(device)


def trainer(model, task, device="cpu", fused=False, compiled=False, precision="fp32", rate=1e-4):
    """A function from a batch, field by name, to its loss, which takes the step."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    settings = task["optimizer"]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings["weightDecay"]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    # PyTorch 1.13 knows the argument, but not for processors.
    kernel = {"fused": True} if fused else {}
    optimiser = torch.optim.AdamW(groups, lr=rate, betas=tuple(settings["betas"]), eps=settings["epsilon"], **kernel)
    loss_of = torch.compile(model) if compiled else model

    def step(batch):
        optimiser.zero_grad(set_to_none=True)
        if task["objective"] == "cl":
            model.update_momentum_encoder()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(**batch)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step


def parameter_count(model):
    """Without position tables and the momentum encoder."""
    return sum(
        p.numel()
        for name, p in model.named_parameters()
        if not name.startswith("momentum_encoder.") and not name.endswith("pos_embed")
    )


def read_tensors(path):
    """The tensors of a .safetensors file in float32, by name."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        header.pop("__metadata__", None)
        found = {}
        for name, entry in header.items():
            assert entry["dtype"] == "F32", f"{name} is {entry['dtype']}"
            first, last = (8 + size + offset for offset in entry["data_offsets"])
            found[name] = torch.frombuffer(bytearray(data[first:last]), dtype=torch.float32).reshape(entry["shape"])
        return found


def blas_name():
    if torch.backends.mkl.is_available():
        return "mkl"
    with open("/proc/self/maps") as file:
        maps = file.read()
    return next((name for name in ("openblas", "blis", "atlas") if "lib" + name in maps), "reference")


def blas_kernel():
    """The processor that OpenBLAS picked its kernels for (OPENBLAS_CORETYPE overrides it), or None."""
    try:
        library = ctypes.CDLL("libopenblas.so.0")
        library.openblas_get_corename.restype = ctypes.c_char_p
        return library.openblas_get_corename().decode()
    except (OSError, AttributeError):
        return None


def matmul_gflops(size=768):
    """The best of five square float32 products."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return round(2 * size**3 / best / 1e9, 1)


def described():
    """Which PyTorch this is."""
    blas = blas_name()
    capability = getattr(getattr(torch.backends, "cpu", None), "get_cpu_capability", lambda: None)()
    return {
        "torch": torch.__version__,
        "blas": blas,
        "kernel": blas_kernel() if blas == "openblas" else None,
        "capability": capability,
        "matmulGflops": matmul_gflops(),
    }
