/** The augmentation kernel of this thread (assembly/augment.ts). */
import { openKernel } from "../kernel-memory.ts";

/** Exports of assembly/augment.ts; addresses and strides as described there. */
export interface Kernel {
  heapBase(): number;
  weigh(
    filter: 0 | 1,
    size: number,
    target: number,
    first: number,
    count: number,
    bounds: number,
    weights: number,
    taps: number,
  ): void;
  resample(
    source: number,
    pitch: number,
    boundsX: number,
    weightsX: number,
    tapsX: number,
    boundsY: number,
    weightsY: number,
    tapsY: number,
    width: number,
    height: number,
    flip: 0 | 1,
    line: number,
    middle: number,
    room: number,
    canvas: number,
    stride: number,
  ): void;
  brightness(canvas: number, count: number, stride: number, factor: number): void;
  contrast(canvas: number, count: number, stride: number, factor: number): void;
  saturation(canvas: number, count: number, stride: number, factor: number): void;
  hue(canvas: number, count: number, stride: number, turn: number): void;
  solarize(canvas: number, count: number, stride: number, threshold: number): void;
  solarizeAdd(canvas: number, count: number, stride: number, amount: number): void;
  invert(canvas: number, count: number, stride: number): void;
  posterize(canvas: number, count: number, stride: number, step: number): void;
  autocontrast(canvas: number, count: number, stride: number): void;
  equalize(canvas: number, count: number, stride: number): void;
  sharpness(canvas: number, width: number, height: number, stride: number, factor: number, plane: number): void;
  affine(
    canvas: number,
    width: number,
    height: number,
    stride: number,
    a: number,
    b: number,
    c: number,
    d: number,
    e: number,
    f: number,
    red: number,
    green: number,
    blue: number,
    plane: number,
  ): void;
  blur(
    canvas: number,
    width: number,
    height: number,
    stride: number,
    weights: number,
    radius: number,
    line: number,
    plane: number,
  ): void;
  normalize(
    canvas: number,
    count: number,
    stride: number,
    scaleR: number,
    scaleG: number,
    scaleB: number,
    offsetR: number,
    offsetG: number,
    offsetB: number,
  ): void;
}

const file = new URL("../../kernels/augment.wasm", import.meta.url);

export const { kernel, reserve, bytesAt, floatsAt } = await openKernel<Kernel>(file);
