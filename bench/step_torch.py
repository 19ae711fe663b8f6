"""One training step in eager PyTorch, the yardstick of the step benchmark: forward, backward and AdamW.

usage: step_torch.py --model vit-small/16 --batch 8 --threads 2             one step for each line "step" on stdin
       step_torch.py --model vit-micro --batch 8 --threads 1 --steps 5      five steps, no stdin

With --device cuda the step runs on the card, and the clock waits for it. --precision: fp32 without shortcuts, tf32 in matrix
products, or bf16 by autocast; the last two are for cards that have them.

Prints {"ready": true, ...}, then {"seconds": ..., "loss": ...} a step; a line "memory" prints {"peakBytes": ...}. The
loss is the mean square of the class token after the final norm; every parameter is trained except pos_embed.

The first line also says which BLAS PyTorch uses and how fast it multiplies matrices. Debian's python3-torch falls back
on the reference BLAS, some 16 times slower than OpenBLAS, where libopenblas0-openmp is not installed: a comparison with
that is worth nothing.
"""

import argparse
import ctypes
import json
import os
import resource
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference"))

MODELS = {
    "vit-micro": dict(image=32, patch=4, width=192, depth=6, heads=3),
    "vit-small/16": dict(image=224, patch=16, width=384, depth=12, heads=6),
    "vit-base/16": dict(image=224, patch=16, width=768, depth=12, heads=12),
}


def say(value):
    print(json.dumps(value), flush=True)


def blas_name(torch):
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


def matmul_gflops(torch, size=768):
    """The best of five square float32 products."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return round(2 * size**3 / best / 1e9, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=sorted(MODELS), required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--steps", type=int, default=0, help="run this many steps and stop, instead of reading stdin")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="fp32")
    options = parser.parse_args()

    # Before PyTorch and its BLAS are loaded: they read these once.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    import torch
    from models import VisionTransformer

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = MODELS[options.model]
    device, on_card = torch.device(options.device), options.device == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = options.precision == "tf32"
    model = VisionTransformer(**config).train().to(device)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.05)
    images = torch.randn(options.batch, 3, config["image"], config["image"], device=device)

    def step():
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(options.device, dtype=torch.bfloat16, enabled=options.precision == "bf16"):
            loss = (model(images).float() ** 2).mean()
        loss.backward()
        optimiser.step()
        if on_card:
            torch.cuda.synchronize()
        say({"seconds": time.perf_counter() - start, "loss": loss.item()})

    blas, speed = blas_name(torch), matmul_gflops(torch)
    if blas == "reference" and not on_card:
        print(
            "step_torch.py: PyTorch uses the reference BLAS, far below what it can do; install libopenblas0-openmp first",
            file=sys.stderr,
        )
    kernel = blas_kernel() if blas == "openblas" else None
    ready = {"torch": torch.__version__, "threads": options.threads, "blas": blas, "kernel": kernel, "matmulGflops": speed}
    say({"ready": True, **ready})
    if options.steps > 0:
        for _ in range(options.steps):
            step()
        return
    for line in sys.stdin:
        command = line.strip()
        if command == "step":
            step()
        elif command == "memory":
            say({"peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})


if __name__ == "__main__":
    main()
