/**
 * Views: what a batch field shows of an image. A view is data, not code, so that a recipe can store it and a worker
 * thread can run it. Constants: layer-grafted pre-training's `utils/pretrain.py` (MoCo v3) and `main_finetune_mae.py`, MAE's
 * `main_pretrain.py`.
 */
import * as z from "zod";
import type { Shape } from "../../tensor/shape.ts";

const probability = z.number().min(0).max(1);
const size = z.int().min(1).describe("side of the square view, in pixels");
const channels = z.tuple([z.number(), z.number(), z.number()]);
const mean = channels
  .default([0.485, 0.456, 0.406])
  .describe("subtracted per channel (of 0 to 1); default: ImageNet's");
const std = channels.default([0.229, 0.224, 0.225]).describe("divided by per channel; default: ImageNet's");
const interpolation = z.enum(["bilinear", "bicubic"]);
const range = z.tuple([z.number().positive(), z.number().positive()]).refine(([low, high]) => low <= high, {
  error: "the first number must not be above the second",
});

const augmentView = z.strictObject({
  kind: z.literal("augment"),
  size,
  scale: range.describe("share of the image's area that a crop covers"),
  ratio: range.default([3 / 4, 4 / 3]).describe("width over height of a crop"),
  interpolation: interpolation.default("bilinear"),
  randAugment: z
    .strictObject({
      operations: z.int().min(0).default(2).describe("how many of the 15 are drawn"),
      magnitude: z.number().min(0).max(10).default(9).describe("strength, of 10"),
      deviation: z.number().min(0).default(0.5).describe("standard deviation of the strength"),
      probability: probability.default(0.5).describe("of each that is drawn"),
    })
    .optional(),
  jitter: z
    .strictObject({
      probability,
      brightness: z.number().min(0).describe("factor is uniform in 1 ± this"),
      contrast: z.number().min(0).describe("factor is uniform in 1 ± this"),
      saturation: z.number().min(0).describe("factor is uniform in 1 ± this"),
      hue: z.number().min(0).max(0.5).describe("turn is uniform in ± this, in full circles"),
    })
    .optional(),
  grayscale: probability.optional(),
  blur: z.strictObject({ probability, sigma: range.describe("standard deviation in pixels of the view") }).optional(),
  solarize: z.strictObject({ probability, threshold: z.number().min(0).max(256).default(128) }).optional(),
  flip: probability.default(0.5),
  erase: z
    .strictObject({
      probability,
      area: range.default([0.02, 1 / 3]).describe("share of the view's area that becomes noise"),
      ratio: range.default([0.3, 1 / 0.3]).describe("width over height of that part"),
    })
    .optional(),
  mean,
  std,
});

const centerView = z
  .strictObject({
    kind: z.literal("center"),
    size,
    resize: z.int().min(1).describe("the shorter side is resized to this before the middle is cut out"),
    interpolation: interpolation.default("bilinear"),
    mean,
    std,
  })
  .refine((view) => view.resize >= view.size, { error: "resize must not be below size", path: ["resize"] });

const noiseView = z.strictObject({ kind: z.literal("noise"), length: z.int().min(1) });

/**
 * `augment`: a random crop, resized and flipped, then RandAugment, colour jitter, grey, blur, solarize, normalised, and
 * a part erased, in this order.
 * `center`: the middle of the image, without randomness, for evaluation.
 * `noise`: `length` uniform numbers in [0, 1), such as MAE's masking noise (one per patch); ignores the image.
 */
export const viewSpec = z.discriminatedUnion("kind", [augmentView, centerView, noiseView]);

export type ViewSpec = z.infer<typeof viewSpec>;
/** A view as written down: whatever has a default may be left out. */
export type ViewInput = z.input<typeof viewSpec>;
export type AugmentView = z.infer<typeof augmentView>;
export type CenterView = z.infer<typeof centerView>;
export type NoiseView = z.infer<typeof noiseView>;
/** A view of the image itself. */
export type ImageView = AugmentView | CenterView;

/** Changes to a ready-made view. `undefined` takes an operation out: `mocoViews(32, { blur: undefined })`. */
export type AugmentOptions = Partial<Omit<z.input<typeof augmentView>, "kind" | "size">>;
export type CenterOptions = Partial<Omit<z.input<typeof centerView>, "kind" | "size">>;

/** MAE's pre-training view: crops of 20 to 100 % of the area, bicubic, and flips. */
export function maeView(size: number, options: AugmentOptions = {}): AugmentView {
  return augmentView.parse({ kind: "augment", size, scale: [0.2, 1], interpolation: "bicubic", ...options });
}

/** MoCo v3's two views for ViT: they differ in how often they blur, and only the second one solarizes. */
export function mocoViews(size: number, options: AugmentOptions = {}): { view1: AugmentView; view2: AugmentView } {
  const both = {
    kind: "augment",
    size,
    scale: [0.08, 1],
    jitter: { probability: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 },
    grayscale: 0.2,
  };
  const sigma = [0.1, 2];
  return {
    view1: augmentView.parse({ ...both, blur: { probability: 1, sigma }, ...options }),
    view2: augmentView.parse({
      ...both,
      blur: { probability: 0.1, sigma },
      solarize: { probability: 0.2, threshold: 128 },
      ...options,
    }),
  };
}

/** The view that the paper fine-tunes on: crops of 8 to 100 %, bicubic, flips, RandAugment, a quarter with erased parts. */
export function fineTuneView(size: number, options: AugmentOptions = {}): AugmentView {
  return augmentView.parse({
    kind: "augment",
    size,
    scale: [0.08, 1],
    interpolation: "bicubic",
    randAugment: { operations: 2, magnitude: 9, deviation: 0.5, probability: 0.5 },
    erase: { probability: 0.25, area: [0.02, 1 / 3], ratio: [0.3, 1 / 0.3] },
    ...options,
  });
}

/** Evaluation view: shorter side to size · 256 / 224 (224 → 256, the ImageNet custom), then the middle. */
export function centerCrop(size: number, options: CenterOptions = {}): CenterView {
  return centerView.parse({ kind: "center", size, resize: Math.round((size * 256) / 224), ...options });
}

/** The same part of an image at another size. */
export function resized(view: CenterView, size: number): CenterView {
  return { ...view, size, resize: Math.max(size, Math.round((view.resize * size) / view.size)) };
}

/** Masking noise: one number per patch. */
export function noise(length: number): NoiseView {
  return noiseView.parse({ kind: "noise", length });
}

/** Shape of one sample: [3, size, size] or [length]. */
export function shapeOf(view: ViewSpec): Shape {
  return view.kind === "noise" ? [view.length] : [3, view.size, view.size];
}
