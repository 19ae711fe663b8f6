/**
 * From pixels to a view: crop, resize, flip, colours, movements, blur and normalisation, on 32-bit floats in WebAssembly.
 * Follows torchvision on PIL images, but values are not rounded to 8 bits between operations (they are kept in 0 … 255),
 * except where one is defined by levels (posterize, autocontrast, equalize), and hue is turned exactly where PIL has 256
 * steps.
 */
import { Random } from "../../tensor/random.ts";
import { bytesAt, floatsAt, kernel, reserve } from "./kernel.ts";
import { draw } from "./draw.ts";
import type { Transform } from "./transform.ts";
import type { Pixels } from "../source.ts";
import { shapeOf, type ImageView, type ViewSpec } from "./views.ts";
import { sizeOf } from "../../tensor/shape.ts";

/** Writes one sample of `view` to `out`: [3, size, size] normalised floats, or `length` uniform numbers. */
export function augment(pixels: Pixels, view: ViewSpec, random: Random, out: Float32Array): void {
  const length = sizeOf(shapeOf(view));
  if (out.length !== length)
    throw new Error(`a sample of this view has ${length} floats, but there is room for ${out.length}`);
  // 24 bits: all that a float32 below 1 can hold without being rounded up to 1.
  if (view.kind === "noise") for (let i = 0; i < length; i++) out[i] = (random.bits() >>> 8) / 2 ** 24;
  else apply(pixels, draw(view, random, pixels.width, pixels.height), view, out);
}

/** Carries out `transform` and writes (value / 255 - mean) / std, or noise, as [3, height, width] to `out`. */
export function apply(
  pixels: Pixels,
  transform: Transform,
  { mean, std }: Pick<ImageView, "mean" | "std">,
  out: Float32Array,
): void {
  const { crop, resize, window, operations } = transform;
  const { width, height } = window;
  const count = width * height;
  const stride = (count + 19) & ~3;
  const pitch = pixels.width * 3;
  const cubic = transform.interpolation === "bicubic" ? 1 : 0;
  const tapsX = taps(cubic, crop.width / resize.width);
  const tapsY = taps(cubic, crop.height / resize.height);
  const windows = operations.map((operation) => (operation.op === "blur" ? boxWindow(operation.sigma) : []));
  const longest = Math.max(0, ...windows.map((window) => window.length));
  const lineLength = Math.max(4 * (crop.width * 3 + 20), width + 2 * longest + 4);
  // `middle` holds rows of the half-resized image first and later a plane of the operation at hand.
  const room = 2 * (tapsY + 8);
  const middleLength = Math.max(3 * room * ((width + 15) & ~15), stride);
  const { source, boundsX, weightsX, boundsY, weightsY, line, middle, weights, canvas } = reserve({
    source: crop.height * pitch + 16,
    boundsX: width * 8,
    weightsX: width * tapsX * 4,
    boundsY: height * 8,
    weightsY: height * tapsY * 4,
    line: lineLength * 4,
    middle: middleLength * 4,
    weights: longest * 4,
    canvas: 3 * stride * 4,
  });

  bytesAt(source, crop.height * pitch).set(pixels.data.subarray(crop.top * pitch, (crop.top + crop.height) * pitch));
  kernel.weigh(cubic, crop.width, resize.width, window.left, width, boundsX, weightsX, tapsX);
  kernel.weigh(cubic, crop.height, resize.height, window.top, height, boundsY, weightsY, tapsY);
  const corner = source + crop.left * 3;
  // Flipping costs nothing while the canvas is filled. (MoCo v3 flips last, which is the same after its operations.)
  const flip = transform.flip ? 1 : 0;
  kernel.resample(
    corner,
    pitch,
    boundsX,
    weightsX,
    tapsX,
    boundsY,
    weightsY,
    tapsY,
    width,
    height,
    flip,
    line,
    middle,
    room,
    canvas,
    stride,
  );
  for (const [i, operation] of operations.entries())
    switch (operation.op) {
      case "autocontrast":
      case "equalize":
      case "invert":
        kernel[operation.op](canvas, count, stride);
        break;
      case "brightness":
      case "contrast":
      case "saturation":
        kernel[operation.op](canvas, count, stride, operation.factor);
        break;
      case "sharpness":
        kernel.sharpness(canvas, width, height, stride, operation.factor, middle);
        break;
      case "hue":
        kernel.hue(canvas, count, stride, operation.turn);
        break;
      case "grayscale":
        kernel.saturation(canvas, count, stride, 0);
        break;
      case "blur": {
        const half = windows[i]!;
        floatsAt(weights, half.length).set(half);
        for (let pass = 0; pass < blurPasses; pass++)
          kernel.blur(canvas, width, height, stride, weights, half.length - 1, line, middle);
        break;
      }
      case "solarize":
        kernel.solarize(canvas, count, stride, operation.threshold);
        break;
      case "solarizeAdd":
        kernel.solarizeAdd(canvas, count, stride, operation.amount);
        break;
      case "posterize":
        kernel.posterize(canvas, count, stride, 2 ** (8 - operation.bits));
        break;
      case "affine":
        kernel.affine(canvas, width, height, stride, ...operation.matrix, ...operation.fill, middle);
        break;
    }
  const [r, g, b] = [1 / (255 * std[0]), 1 / (255 * std[1]), 1 / (255 * std[2])];
  kernel.normalize(canvas, count, stride, r, g, b, -mean[0] / std[0], -mean[1] / std[1], -mean[2] / std[2]);
  for (let channel = 0; channel < 3; channel++)
    out.set(floatsAt(canvas + channel * stride * 4, count), channel * count);
  if (transform.erase !== undefined) erase(out, transform.erase, width, height);
}

/** Standard normal numbers in place of all pixels of the box, each channel its own (timm's mode "pixel"). */
function erase(
  out: Float32Array,
  { box, noise }: NonNullable<Transform["erase"]>,
  width: number,
  height: number,
): void {
  const random = new Random(noise);
  for (let channel = 0; channel < 3; channel++)
    for (let y = box.top; y < box.top + box.height; y++) {
      const row = (channel * height + y) * width + box.left;
      for (let x = 0; x < box.width; x++) out[row + x] = random.normal();
    }
}

function taps(cubic: 0 | 1, scale: number): number {
  return 2 * Math.ceil((cubic + 1) * Math.max(scale, 1)) + 1;
}

/** PIL's GaussianBlur is three box filters, whose variances add up to sigma². */
const blurPasses = 3;

/**
 * One of these boxes, half of it, centre first: whole pixels and a partial one at the end, as PIL's
 * `_gaussian_blur_radius` (after Gwosdek et al., "Theoretical foundations of Gaussian convolution by extended box
 * filtering", 2011).
 */
function boxWindow(sigma: number): number[] {
  const variance = sigma ** 2 / blurPasses;
  const whole = Math.floor((Math.sqrt(12 * variance + 1) - 1) / 2);
  const part = ((2 * whole + 1) * (whole * (whole + 1) - 3 * variance)) / (6 * (variance - (whole + 1) ** 2));
  const weight = 1 / (2 * (whole + part) + 1);
  return [...Array<number>(whole + 1).fill(weight), part * weight];
}
