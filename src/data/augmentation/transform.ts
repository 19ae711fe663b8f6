/** What is done to an image, drawn once and then plain data: which crop, which operations with which strengths. */
import type { Key } from "../../tensor/random.ts";
import type { Box } from "../source.ts";

/** [a, b, c, d, e, f]: the middle of pixel (x, y) shows what was at (a x + b y + c, d x + e y + f). */
export type Matrix = readonly [number, number, number, number, number, number];

/** One operation, in the order they are applied. */
export type Operation =
  | { readonly op: "autocontrast" | "equalize" | "invert" }
  | { readonly op: "brightness" | "contrast" | "saturation" | "sharpness"; readonly factor: number }
  | { readonly op: "hue"; readonly turn: number }
  | { readonly op: "grayscale" }
  | { readonly op: "blur"; readonly sigma: number }
  | { readonly op: "solarize"; readonly threshold: number }
  | { readonly op: "solarizeAdd"; readonly amount: number }
  | { readonly op: "posterize"; readonly bits: number }
  | { readonly op: "affine"; readonly matrix: Matrix; readonly fill: readonly [number, number, number] };

export interface Transform {
  /** The part of the image that is used, in pixels. */
  readonly crop: Box;
  /** Size the crop is resized to, in pixels. */
  readonly resize: { readonly width: number; readonly height: number };
  /** The part of the resized crop that becomes the view. */
  readonly window: Box;
  readonly interpolation: "bilinear" | "bicubic";
  /** Mirrored before the operations. */
  readonly flip: boolean;
  readonly operations: readonly Operation[];
  /** A part of the normalised view that becomes normal noise, drawn from this key. */
  readonly erase?: { readonly box: Box; readonly noise: Key } | undefined;
}
