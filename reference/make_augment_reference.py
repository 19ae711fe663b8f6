"""Writes test/fixtures/augment.json: one small RGB image and what Pillow makes of it.

usage: /usr/bin/python3 reference/make_augment_reference.py [OUT.json]      (needs python3-pil and numpy)

Every result is RGB, row-major, 3 values a pixel. A crop is taken first and then resized, as torchvision's resized_crop
does: the resampling filter never looks outside the box. Hue follows torchvision on Pillow images: the whole image goes
to Pillow's 8-bit HSV, H moves by the truncated shift * 255 modulo 256, and back. If torchvision is installed, the
cases that it has are compared with it and a difference is an error.
"""

import json
import os
import sys

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

WIDTH, HEIGHT = 12, 10


def make_image():
    """A gradient, noise, saturated colours, greys, black and white: 12 wide, 10 high."""
    random = np.random.RandomState(7)
    pixels = random.randint(0, 256, size=(HEIGHT, WIDTH, 3))
    row, column = np.mgrid[0:HEIGHT, 0:WIDTH]
    smooth = np.stack([column * 23, row * 28, 255 - (row + column) * 12], axis=-1)
    pixels[:, :6] = smooth[:, :6]
    pixels[0, 6:12] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255]]
    pixels[1, 6:12] = [[0, 0, 0], [255, 255, 255], [127, 127, 127], [128, 128, 128], [1, 0, 0], [254, 255, 255]]
    return Image.fromarray(pixels.astype(np.uint8), "RGB")


def shift_hue(image, shift):
    hue, saturation, value = image.convert("HSV").split()
    moved = (np.asarray(hue).astype(np.int64) + int(shift * 255)) % 256
    return Image.merge("HSV", (Image.fromarray(moved.astype(np.uint8), "L"), saturation, value)).convert("RGB")


def as_json(image):
    assert image.mode == "RGB"
    return {"width": image.width, "height": image.height, "data": np.asarray(image).reshape(-1).tolist()}


def make_cases(image):
    cases = []

    def add(result, op, **settings):
        cases.append({"op": op, **settings, "result": as_json(result)})

    for factor in (1.3, 0.7):
        add(ImageEnhance.Brightness(image).enhance(factor), "brightness", factor=factor)
    for factor in (0.6, 1.4):
        add(ImageEnhance.Contrast(image).enhance(factor), "contrast", factor=factor)
    for factor in (1.4, 0.8):
        add(ImageEnhance.Color(image).enhance(factor), "saturation", factor=factor)
    for shift in (0.1, -0.07):
        add(shift_hue(image, shift), "hue", shift=shift)
    add(image.convert("L").convert("RGB"), "grayscale")
    add(ImageOps.solarize(image, 128), "solarize", threshold=128)
    for radius in (0.8, 1.5, 0.1, 2.0):
        add(image.filter(ImageFilter.GaussianBlur(radius)), "blur", radius=radius)
    add(ImageOps.mirror(image), "flip")
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    # The first box is 8x8 (so its 8x8 resize is the identity), the second is 9x7, the last is the whole image.
    for box in ([2, 1, 10, 9], [1, 2, 10, 9], [0, 0, WIDTH, HEIGHT]):
        for size in (8, 5, 16):
            for name, method in filters.items():
                result = image.crop(box).resize((size, size), method)
                add(result, "crop", box=box, width=size, height=size, filter=name)
    # A corner with all kinds of pixels for the operations of RandAugment, 8x8 to keep the file small.
    box = [3, 0, 11, 8]
    part = image.crop(box)
    add(ImageOps.invert(part), "invert", box=box)
    # The low levels of one half, which can be stretched.
    add(ImageOps.autocontrast(image.crop([0, 2, 5, 8])), "autocontrast", box=[0, 2, 5, 8])
    # Pillow leaves images below 255 pixels alone: five copies lie below one another, and so do those of the result.
    repeated = ImageOps.equalize(Image.fromarray(np.tile(np.asarray(image), (5, 1, 1)), "RGB"))
    equalized = repeated.crop([0, 0, WIDTH, HEIGHT])
    assert np.array_equal(np.asarray(repeated), np.tile(np.asarray(equalized), (5, 1, 1)))
    add(equalized, "equalize", times=5)
    add(ImageOps.posterize(part, 2), "posterize", box=box, bits=2)
    add(part.point([min(i + 99, 255) if i < 128 else i for i in range(256)] * 3), "solarizeAdd", box=box, amount=99)
    for factor in (1.81, 0.19):
        add(ImageEnhance.Sharpness(part).enhance(factor), "sharpness", box=box, factor=factor)
    fill, method = [124, 116, 104], Image.Resampling.BILINEAR
    for rotate in (27, -12.5):
        result = part.rotate(rotate, method, fillcolor=tuple(fill))
        add(result, "affine", box=box, rotate=rotate, fill=fill)
    for matrix in ([1, -0.27, 0, 0, 1, -2.7], [1, 0, 3.24, 0.3, 1, 0]):
        result = part.transform(part.size, Image.Transform.AFFINE, matrix, method, fillcolor=tuple(fill))
        add(result, "affine", box=box, matrix=matrix, fill=fill)
    return cases


def compare_with_torchvision(image, cases):
    try:
        import torchvision.transforms.functional as functional
    except ImportError:
        return "torchvision not installed, nothing compared"
    count = 0
    for case in cases:
        if case["op"] == "brightness":
            other = functional.adjust_brightness(image, case["factor"])
        elif case["op"] == "contrast":
            other = functional.adjust_contrast(image, case["factor"])
        elif case["op"] == "saturation":
            other = functional.adjust_saturation(image, case["factor"])
        elif case["op"] == "hue":
            other = functional.adjust_hue(image, case["shift"])
        elif case["op"] == "grayscale":
            other = functional.to_grayscale(image, num_output_channels=3)
        elif case["op"] == "solarize":
            other = functional.solarize(image, case["threshold"])
        elif case["op"] == "sharpness":
            other = functional.adjust_sharpness(image.crop(case["box"]), case["factor"])
        elif case["op"] == "posterize":
            other = functional.posterize(image.crop(case["box"]), case["bits"])
        elif case["op"] == "invert":
            other = functional.invert(image.crop(case["box"]))
        elif case["op"] == "autocontrast":
            other = functional.autocontrast(image.crop(case["box"]))
        elif case["op"] == "flip":
            other = functional.hflip(image)
        elif case["op"] == "crop":
            left, top, right, bottom = case["box"]
            mode = functional.InterpolationMode(case["filter"])
            size = [case["height"], case["width"]]
            other = functional.resized_crop(image, top, left, bottom - top, right - left, size, mode)
        else:
            continue
        assert as_json(other) == case["result"], case["op"]
        count += 1
    return f"{count} cases equal torchvision's"


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "test", "fixtures", "augment.json")
    image = make_image()
    cases = make_cases(image)
    print(compare_with_torchvision(image, cases))
    with open(out, "w") as file:
        parts = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
        picture = json.dumps(as_json(image), separators=(",", ":"))
        file.write('{"image":' + picture + ',\n"cases":[\n' + parts + "\n]}\n")
    print(f"{os.path.normpath(out)}: {len(cases)} cases")


if __name__ == "__main__":
    main()
