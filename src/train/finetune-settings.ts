/** The settings of fine-tuning, with the paper's constants. */
import * as z from "zod";
import { layerDecay, lower, type RateRule } from "../optim/groups.ts";

const positive = z.int().min(1);
const share = z.number().min(0).max(1);
const strength = z.number().min(0);

/** What a caller may set; everything has the preset's value otherwise. */
export const fineTuneSettings = z
  .strictObject({
    preset: z
      .enum(["full", "tenth", "small"])
      .describe("the paper's settings for all labels or a tenth of them, or settings for small images and minutes"),
    epochs: positive,
    batch: z.int().min(2).describe("images per step; fewer where there are no more"),
    microBatch: positive.describe("images per run of the graph; default: what keeps activations in cache"),
    learningRate: z.number().positive().describe("its peak, for a batch of 256"),
    minLearningRate: strength.describe("what it falls to, not scaled by the batch"),
    warmup: strength.describe("epochs in which it rises; default: 5, or a tenth of the epochs if that is less"),
    layerDecay: z.number().positive().max(1).describe("factor on the learning rate from a block to the one below it"),
    weightDecay: strength,
    betas: z.tuple([share, share]).readonly(),
    smoothing: share.describe("part of a target that is spread over all classes"),
    mixup: strength.describe("parameter of the Beta distribution that mixup draws from; 0: no mixup"),
    cutmix: strength.describe("the same of cutmix"),
    probability: share.describe("how often a batch is mixed"),
    switch: share.describe("how often it is cut and not blended, where both are on"),
    augmentation: z.enum(["strong", "light"]).describe("the paper's views, or crops of at least a third and flips"),
    dropPath: z.number().min(0).lt(1).describe("how often a branch of the last block is left out"),
    pooling: z.enum(["cls", "mean"]).describe("classify the class token, or the mean of the patches"),
    tuneFromFirstFC: z.boolean().describe("keep the first layer of the contrastive head, and classify what it gives"),
    freezeBelow: z.int().min(0).describe("leave class token, embeddings and so many blocks as they are"),
    imageSize: positive.describe("side of the images, in pixels; default: the encoder's"),
    evaluateEvery: positive.describe("epochs between validations; there is always one after the last epoch"),
  })
  .partial();
export type FineTuneSettings = z.input<typeof fineTuneSettings>;

/**
 * `full` and `tenth` are the paper's for ViT-B on ImageNet, `tenth` for encoders with a contrastive head. `small` is for
 * some thousand small images and an encoder of a few layers: in so few steps strong augmentation and mixing cost more
 * than they give.
 */
export const fineTunePresets = {
  full: {
    epochs: 100,
    batch: 1024,
    learningRate: 5e-4,
    minLearningRate: 1e-6,
    layerDecay: 0.6,
    weightDecay: 0.05,
    betas: [0.9, 0.999],
    smoothing: 0.1,
    mixup: 0.8,
    cutmix: 1,
    probability: 1,
    switch: 0.5,
    augmentation: "strong",
    dropPath: 0.1,
    pooling: "cls",
    tuneFromFirstFC: false,
    evaluateEvery: 1,
  },
  tenth: { epochs: 200, learningRate: 3e-5, layerDecay: 0.75, tuneFromFirstFC: true, evaluateEvery: 10 },
  small: {
    epochs: 20,
    batch: 64,
    learningRate: 8e-3,
    layerDecay: 0.75,
    mixup: 0,
    cutmix: 0,
    augmentation: "light",
    evaluateEvery: 2,
  },
} as const satisfies Record<string, FineTuneSettings>;

type Required = keyof typeof fineTunePresets.full;
/** Settings with nothing left open but what the data and the encoder decide. */
export type ResolvedSettings = { readonly [K in Required]: NonNullable<FineTuneSettings[K]> } & FineTuneSettings;

/** Fills in the preset. Throws one sentence for a setting that is unknown or out of range. */
export function resolveSettings(given: FineTuneSettings): ResolvedSettings {
  const checked = fineTuneSettings.safeParse(given);
  if (!checked.success) {
    const [issue] = checked.error.issues as [z.core.$ZodIssue];
    throw new Error(`fine-tuning cannot be set so: ${[...issue.path, issue.message].join(": ")}`);
  }
  const said = Object.fromEntries(Object.entries(checked.data).filter(([, value]) => value !== undefined));
  const { full, [checked.data.preset ?? "full"]: preset } = fineTunePresets;
  return { ...full, ...preset, ...said };
}

/** Layer decay, no weight decay on the class token, and nothing learns below block `freezeBelow`. */
export function fineTuneRules(
  depth: number,
  { layerDecay: ratio, freezeBelow }: { readonly layerDecay: number; readonly freezeBelow?: number },
): RateRule[] {
  return [
    ...(freezeBelow === undefined ? [] : [{ match: lower(freezeBelow), frozen: true }]),
    { match: "^cls_token$", decay: false },
    ...layerDecay(depth, ratio),
  ];
}
