/**
 * From pixels to a view: crop, resize, colours, blur, flip and normalisation, on 32-bit floats in WebAssembly.
 * Follows torchvision on PIL images, but values are not rounded to 8 bits between operations (they are kept in 0 … 255),
 * and hue is turned exactly where PIL has 256 steps.
 */
import type { Random } from "../tensor/random.ts";
import { bytesAt, floatsAt, kernel, reserve } from "./kernel.ts";
import { draw, type Plan } from "./plan.ts";
import type { Pixels } from "./source.ts";
import { shapeOf, type ImageView, type ViewSpec } from "./views.ts";
import { sizeOf } from "../tensor/shape.ts";

/** Writes one sample of `view` to `out`: [3, size, size] normalised floats, or `length` uniform numbers. */
export function augment(pixels: Pixels, view: ViewSpec, random: Random, out: Float32Array): void {
  const length = sizeOf(shapeOf(view));
  if (out.length !== length)
    throw new Error(`a sample of this view has ${length} floats, but there is room for ${out.length}`);
  // 24 bits: all that a float32 below 1 can hold without being rounded up to 1.
  if (view.kind === "noise") for (let i = 0; i < length; i++) out[i] = (random.bits() >>> 8) / 2 ** 24;
  else apply(pixels, draw(view, random, pixels.width, pixels.height), view, out);
}

/** Carries out `plan` and writes (value / 255 - mean) / std as [3, height, width] to `out`. */
export function apply(
  pixels: Pixels,
  plan: Plan,
  { mean, std }: Pick<ImageView, "mean" | "std">,
  out: Float32Array,
): void {
  const { crop, resize, window, operations } = plan;
  const { width, height } = window;
  const count = width * height;
  const stride = (count + 7) & ~3;
  const pitch = pixels.width * 3;
  const cubic = plan.interpolation === "bicubic" ? 1 : 0;
  const tapsX = taps(cubic, crop.width / resize.width);
  const tapsY = taps(cubic, crop.height / resize.height);
  const windows = operations.map((operation) => (operation.op === "blur" ? boxWindow(operation.sigma) : []));
  const longest = Math.max(0, ...windows.map((window) => window.length));
  const lineLength = Math.max(crop.width * 3 + 20, width + 2 * longest + 4);
  // `middle` holds the half-resized image first and a plane of the blur later.
  const middleLength = Math.max(crop.height * width * 4, stride);
  const { source, boundsX, weightsX, boundsY, weightsY, line, middle, weights, canvas, target } = reserve({
    source: crop.height * pitch + 16,
    boundsX: width * 8,
    weightsX: width * tapsX * 4,
    boundsY: height * 8,
    weightsY: height * tapsY * 4,
    line: lineLength * 4,
    middle: middleLength * 4,
    weights: longest * 4,
    canvas: 3 * stride * 4,
    target: count * 12 + 16,
  });

  bytesAt(source, crop.height * pitch).set(pixels.data.subarray(crop.top * pitch, (crop.top + crop.height) * pitch));
  kernel.weigh(cubic, crop.width, resize.width, window.left, width, boundsX, weightsX, tapsX);
  kernel.weigh(cubic, crop.height, resize.height, window.top, height, boundsY, weightsY, tapsY);
  const corner = source + crop.left * 3;
  // Flipping commutes with every operation that follows, and costs nothing while the canvas is filled.
  const flip = plan.flip ? 1 : 0;
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
    canvas,
    stride,
  );
  for (const [i, operation] of operations.entries()) {
    if (operation.op === "hue") kernel.hue(canvas, count, stride, operation.turn);
    else if (operation.op === "grayscale") kernel.saturation(canvas, count, stride, 0);
    else if (operation.op === "solarize") kernel.solarize(canvas, count, stride, operation.threshold);
    else if (operation.op === "blur") {
      const half = windows[i]!;
      floatsAt(weights, half.length).set(half);
      for (let pass = 0; pass < blurPasses; pass++)
        kernel.blur(canvas, width, height, stride, weights, half.length - 1, line, middle);
    } else kernel[operation.op](canvas, count, stride, operation.factor);
  }
  const [r, g, b] = [1 / (255 * std[0]), 1 / (255 * std[1]), 1 / (255 * std[2])];
  kernel.normalize(canvas, count, stride, target, r, g, b, -mean[0] / std[0], -mean[1] / std[1], -mean[2] / std[2]);
  out.set(floatsAt(target, count * 3));
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
