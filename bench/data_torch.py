"""From JPEG files to views with torchvision and PIL, the yardstick of the data benchmark: one process, one thread.

usage: data_torch.py FOLDER      one pass over the folder's images for each line "decode", "mae" or "mocov3" on stdin

Prints {"versions": ...}, then {"images": ..., "seconds": ...} a pass, in seconds of processor time. The views are those
of src/data/augmentation/views.ts at 224 pixels; samples are stacked to batches of 16, as a loader does.
"""

import json
import os
import random
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"  # before PyTorch is loaded
import PIL
import torch
import torchvision
from PIL import Image, ImageFilter, ImageOps, features
from torchvision import transforms as T

SIZE = 224
BATCH = 16


def say(value):
    print(json.dumps(value), flush=True)


def blur(image):
    return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2.0)))


def load(path):
    with open(path, "rb") as file:
        return Image.open(file).convert("RGB")


def finish():
    return [
        T.RandomHorizontalFlip(),
        T.ToTensor(),
        T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]


def moco(blurred, solarized):
    return T.Compose(
        [
            T.RandomResizedCrop(SIZE, scale=(0.08, 1.0)),
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
            T.RandomGrayscale(p=0.2),
            T.RandomApply([T.Lambda(blur)], p=blurred),
            T.RandomApply([T.Lambda(ImageOps.solarize)], p=solarized),
            *finish(),
        ]
    )


def main():
    torch.set_num_threads(1)
    folder = sys.argv[1]
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    cubic = T.InterpolationMode.BICUBIC
    mae = T.Compose([T.RandomResizedCrop(SIZE, scale=(0.2, 1.0), interpolation=cubic), *finish()])
    views = {"decode": [], "mae": [mae], "mocov3": [moco(1.0, 0.0), moco(0.1, 0.2)]}

    jpeg = features.version("libjpeg_turbo") or features.version("jpg")
    say({"versions": f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}, libjpeg-turbo {jpeg}"})
    for line in sys.stdin:
        transforms = views[line.strip()]
        start = time.process_time()
        for first in range(0, len(paths), BATCH):
            images = [load(path) for path in paths[first : first + BATCH]]
            for transform in transforms:
                torch.stack([transform(image) for image in images])
        say({"images": len(paths), "seconds": time.process_time() - start})


if __name__ == "__main__":
    main()
