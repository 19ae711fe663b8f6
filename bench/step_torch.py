"""One training step in PyTorch, the yardstick of the step benchmark: forward, backward and AdamW; eager unless --compile.

usage: step_torch.py --task TASK --batch 8 --threads 2             one step for each line "step" on stdin
       step_torch.py --task TASK --batch 8 --threads 1 --steps 5   five steps, no stdin

TASK is what `node dist/bench/step.js --objective cl --model small --tell` prints: objective, sizes and optimizer. With
--values the first weights and the batch are those of a .safetensors file, else they are random.

--fused takes PyTorch's kernels for attention and AdamW in place of the plain ones. With --device cuda the step runs on the
card, and the clock waits for it. --precision: fp32 without shortcuts, tf32 in matrix products, or bf16 by autocast; the
last two are for cards that have them.

Prints {"ready": true, ...}, then {"seconds": ..., "loss": ...} a step; a line "memory" prints {"peakBytes": ...}.

The first line also says which BLAS PyTorch uses and how fast it multiplies matrices. Debian's python3-torch falls back
on the reference BLAS, some 16 times slower than OpenBLAS, where libopenblas0-openmp is not installed: a comparison with
that is worth nothing.
"""

import argparse
import json
import os
import resource
import sys
import time


def peak_bytes():
    """The most memory this process has held; what getrusage tells may be that of the process which started it."""
    try:
        with open("/proc/self/status") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", type=json.loads, required=True)
    parser.add_argument("--values")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--steps", type=int, default=0, help="run this many steps and stop, instead of reading stdin")
    parser.add_argument("--fused", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="fp32")
    options = parser.parse_args()

    # Before PyTorch and its BLAS are loaded: they read these once.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    import torch
    from training_torch import build, described, parameter_count, read_tensors, say, trainer

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device, on_card = options.device, options.device == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = options.precision == "tf32"
    model = build(options.task, device, options.fused)
    if options.values is None:
        batch = made_up(torch, options.task, options.batch)
    else:
        values = read_tensors(options.values)
        batch = {name[len("batch.") :]: values.pop(name) for name in list(values) if name.startswith("batch.")}
        missing, unexpected = model.load_state_dict(values, strict=False)
        assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)
        del values
    batch = {name: value.to(device) for name, value in batch.items()}
    train = trainer(model, options.task, device, options.fused, options.compile, options.precision)

    def step():
        start = time.perf_counter()
        loss = train(batch)
        if on_card:
            torch.cuda.synchronize()
        say({"seconds": time.perf_counter() - start, "loss": loss.item()})

    facts = described()
    if facts["blas"] == "reference" and not on_card:
        print(
            "step_torch.py: PyTorch uses the reference BLAS, far below what it can do; install libopenblas0-openmp first",
            file=sys.stderr,
        )
    say({"ready": True, "threads": options.threads, "parameters": parameter_count(model), **facts})
    if options.steps > 0:
        for _ in range(options.steps):
            step()
        return
    for line in sys.stdin:
        command = line.strip()
        if command == "step":
            step()
        elif command == "memory":
            say({"peakBytes": peak_bytes()})


def made_up(torch, task, count):
    image, patch = task["model"]["image"], task["model"]["patch"]
    fields = {"encoder": ["images"], "mim": ["images"], "cl": ["view1", "view2"]}[task["objective"]]
    batch = {name: torch.randn(count, 3, image, image) for name in fields}
    if task["objective"] == "mim":
        batch["noise"] = torch.rand(count, (image // patch) ** 2)
    return batch


if __name__ == "__main__":
    main()
