"""Training from files to updated weights as a PyTorch user writes it, the yardstick of the pipeline benchmark.

usage: pipeline_torch.py --task TASK --data FOLDER --batch 64 --threads 2 --workers 1

TASK says objective, sizes, optimizer and augmentation, as bench/pipeline.ts tells them. Images are decoded by Pillow,
augmented by torchvision in the workers of a DataLoader, and the step is that of step_torch.py (--fused, --compile).
Gaussian blur is Pillow's, as in MoCo v3's code: torchvision's takes longer on an image of Pillow's.

Prints a line when ready, and for each line "train" trains for a while: {"images": ..., "seconds": ..., "waited": ...},
where `waited` are the seconds in which the step had no batch.
"""

import argparse
import json
import os
import random
import sys
import time

ENDINGS = (".jpg", ".jpeg", ".png")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", type=json.loads, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warm-up", type=int, default=5, help="steps of a stretch that do not count")
    parser.add_argument("--fused", action="store_true")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()

    # Before PyTorch and its BLAS are loaded: they read these once.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    import PIL
    import torch
    import torchvision
    from PIL import Image, ImageFilter
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms as T
    from training_torch import build, described, parameter_count, say, trainer

    class Blur:
        def __init__(self, sigma):
            self.sigma = sigma

        def __call__(self, image):
            return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(*self.sigma)))

    def transform(view):
        """A view of src/data/augmentation/views.ts."""
        steps = [
            T.RandomResizedCrop(
                view["size"],
                scale=view["scale"],
                ratio=view["ratio"],
                interpolation=T.InterpolationMode(view["interpolation"]),
            ),
            T.RandomHorizontalFlip(view["flip"]),
        ]
        if "jitter" in view:
            jitter = view["jitter"]
            change = T.ColorJitter(*(jitter[name] for name in ("brightness", "contrast", "saturation", "hue")))
            steps.append(T.RandomApply([change], p=jitter["probability"]))
        if "grayscale" in view:
            steps.append(T.RandomGrayscale(view["grayscale"]))
        if "blur" in view:
            steps.append(T.RandomApply([Blur(view["blur"]["sigma"])], p=view["blur"]["probability"]))
        if "solarize" in view:
            steps.append(T.RandomSolarize(view["solarize"]["threshold"], p=view["solarize"]["probability"]))
        return T.Compose([*steps, T.ToTensor(), T.Normalize(view["mean"], view["std"])])

    class Views(Dataset):
        """Every image of a folder and its subfolders, by field of a batch."""

        def __init__(self, folder, views):
            self.paths = sorted(
                os.path.join(place, name)
                for place, _, names in os.walk(folder)
                for name in names
                if name.lower().endswith(ENDINGS)
            )
            self.transforms = {name: transform(view) for name, view in views.items() if view["kind"] == "augment"}

        def __len__(self):
            return len(self.paths)

        def __getitem__(self, index):
            with open(self.paths[index], "rb") as file:
                image = Image.open(file).convert("RGB")
            return {name: change(image) for name, change in self.transforms.items()}

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    views = options.task["views"]
    dataset = Views(options.data, views)
    loader = DataLoader(
        dataset,
        batch_size=options.batch,
        shuffle=True,
        drop_last=True,
        num_workers=options.workers,
        persistent_workers=options.workers > 0,
    )

    def batches():
        while True:
            yield from loader

    model = build(options.task, fused=options.fused)
    train = trainer(model, options.task, fused=options.fused, compiled=options.compile)
    source = batches()
    waited = 0.0

    def step():
        nonlocal waited
        start = time.perf_counter()
        batch = next(source)
        if "noise" in views:
            batch["noise"] = torch.rand(options.batch, views["noise"]["length"])
        waited += time.perf_counter() - start
        return train(batch).item()

    versions = f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}"
    counts = {"pid": os.getpid(), "parameters": parameter_count(model), "length": len(dataset)}
    say({**described(), **counts, "versions": versions})
    for line in sys.stdin:
        if line.strip() != "train":
            continue
        for _ in range(options.warm_up):
            loss = step()
        start, waited, images = time.perf_counter(), 0.0, 0
        while time.perf_counter() - start < options.seconds:
            loss = step()
            images += options.batch
        say({"images": images, "seconds": time.perf_counter() - start, "waited": waited, "loss": loss})


if __name__ == "__main__":
    main()
