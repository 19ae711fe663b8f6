/**
 * The part of layergraft that runs in a browser: images for an exported encoder, made by the code and the WebAssembly
 * kernel that made them in training. Load the encoder itself with onnxruntime-web.
 */
import { augment } from "./data/augmentation/augment.ts";
import type { Pixels } from "./data/source.ts";
import type { CenterView } from "./data/augmentation/views.ts";
import { key, Random } from "./tensor/random.ts";

export type { CenterView, Pixels };

/** An image as the encoder takes it: resized, cut and normalised as `view` says, [3, size, size]. */
export function toInput(pixels: Pixels, view: CenterView): Float32Array<ArrayBuffer> {
  const input = new Float32Array(3 * view.size ** 2);
  augment(pixels, view, new Random(key(0)), input); // a centre view draws nothing
  return input;
}

/** The pixels of a canvas, transparency over white as in training. */
export function fromCanvas({
  width,
  height,
  data,
}: {
  width: number;
  height: number;
  data: Uint8ClampedArray;
}): Pixels {
  const rgb = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; to < rgb.length; from += 4)
    for (let channel = 0; channel < 3; channel++) {
      const alpha = data[from + 3]! / 255;
      rgb[to++] = Math.round(data[from + channel]! * alpha + 255 * (1 - alpha));
    }
  return { width, height, data: rgb };
}
