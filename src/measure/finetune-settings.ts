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
      .enum(["full", "full-large", "tenth", "tenth-large", "small"])
      .describe(
        "the paper's settings for all labels or a tenth of them, of ViT-B or ViT-L, or settings for small images and minutes",
      ),
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
 * `full` and `tenth` are the paper's for ViT-B on ImageNet, `tenth` for encoders with a contrastive head; `full-large` and
 * `tenth-large` are its for ViT-L. Sources: `COMMANDS` of the released code and, for what no command says, its
 * `main_finetune_mae.py`. What a preset leaves out is as in `full`. `small` is for some thousand small images and an encoder
 * of a few layers: in so few steps strong augmentation and mixing cost more than they give.
 */
export const fineTunePresets = {
  full: {
    epochs: 100, // COMMANDS: --epochs 100
    batch: 1024, // COMMANDS: 1024 in all
    learningRate: 5e-4, // COMMANDS: --blr 5e-4
    minLearningRate: 1e-6, // main_finetune_mae.py: --min_lr
    layerDecay: 0.6, // COMMANDS: --layer_decay 0.6
    weightDecay: 0.05, // main_finetune_mae.py: --weight_decay
    betas: [0.9, 0.999], // main_finetune_mae.py: AdamW's own
    smoothing: 0.1, // main_finetune_mae.py: --smoothing
    mixup: 0.8, // main_finetune_mae.py: --mixup
    cutmix: 1, // main_finetune_mae.py: --cutmix
    probability: 1, // main_finetune_mae.py: --mixup_prob
    switch: 0.5, // main_finetune_mae.py: --mixup_switch_prob
    augmentation: "strong", // main_finetune_mae.py: --aa rand-m9-mstd0.5-inc1, --reprob 0.25
    dropPath: 0.1, // COMMANDS: --drop_path 0.1
    pooling: "cls", // main_finetune_mae.py reads --global_pool and does not use it
    tuneFromFirstFC: false,
    evaluateEvery: 1,
  },
  "full-large": {
    epochs: 50, // COMMANDS: --epochs 50; batch: 512, accumulated twice
    layerDecay: 0.8, // COMMANDS: --layer_decay 0.8
    dropPath: 0.2, // COMMANDS: --drop_path 0.2
  },
  tenth: {
    epochs: 200, // COMMANDS: --epochs 200
    batch: 1022, // COMMANDS: 146 on each of 7 GPUs
    learningRate: 3e-5, // COMMANDS: --blr 3e-5
    layerDecay: 0.75, // COMMANDS: --layer_decay 0.75
    tuneFromFirstFC: true, // COMMANDS: --tuneFromFirstFC
    evaluateEvery: 10, // COMMANDS: tested every 10 epochs
  },
  "tenth-large": {
    epochs: 400, // COMMANDS: --epochs 400; batch: 512, accumulated twice
    learningRate: 3e-5, // COMMANDS: --blr 3e-5
    layerDecay: 0.65, // COMMANDS: --layer_decay 0.65
    tuneFromFirstFC: true, // as for ViT-B
    evaluateEvery: 10, // as for ViT-B
  },
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
