/**
 * Layer Grafted Pre-training (Jiang et al., ICLR 2023): MIM with MAE trains the whole encoder, then CL with MoCo v3 goes
 * on from it with a small learning rate in the lower two thirds of the blocks and one ten times as large in the upper
 * third. The patch projection stays as MIM left it.
 */
import type { SourceInput } from "../data/source.ts";
import { type AugmentOptions, centerCrop, maeView, mocoViews, noise } from "../data/views.ts";
import { patchCount, type VitConfig } from "../nn/vit.ts";
import { stages } from "../optim/groups.ts";
import type { RecipeInput } from "../train/recipe.ts";

export interface LayerGraftedOptions {
  readonly name?: string;
  readonly description?: string;
  readonly data: SourceInput;
  readonly model: VitConfig;
  readonly seed?: number;
  readonly mim: StageOptions;
  readonly cl: StageOptions & {
    /** Factors on the learning rate of each group of blocks, input side first (paper: 0.1, 0.1, 1). */
    readonly rates?: readonly number[];
    readonly temperature?: number;
    readonly momentum?: number;
    /** Hidden width of the heads and width of the space of contrast (paper: 4096 and 256). */
    readonly mlpDim?: number;
    readonly dim?: number;
  };
  /** Pre-processing when the encoder is used; default: the middle 224/256 of the image. */
  readonly resize?: number;
}

export interface StageOptions {
  readonly epochs: number;
  readonly batch: number;
  readonly microBatch?: number;
  /** For a batch of 256 (paper: 1.5e-4 in both stages; small models and short runs take more). */
  readonly learningRate: number;
  readonly warmup?: number;
  readonly views?: { readonly view1?: AugmentOptions; readonly view2?: AugmentOptions };
}

export function layerGrafted(options: LayerGraftedOptions): RecipeInput {
  const { data, model, mim, cl, seed = 0, resize } = options;
  const { imageSize, depth, width } = model;
  const moco = mocoViews(imageSize);
  return {
    name: options.name ?? "layer-grafted",
    ...(options.description === undefined ? {} : { description: options.description }),
    seed,
    data,
    model,
    evaluationView: centerCrop(imageSize, resize === undefined ? {} : { resize, interpolation: "bicubic" }),
    stages: [
      {
        name: "mim",
        // A decoder of half the encoder's width: at ViT-B this is near the paper's 512.
        objective: { kind: "mae", ...decoderFor(width, depth) },
        views: { images: { ...maeView(imageSize), ...mim.views?.view1 }, noise: noise(patchCount(model)) },
        ...timing(mim),
        optimizer: { kind: "adamw", betas: [0.9, 0.95], weightDecay: 0.05 },
      },
      {
        name: "cl",
        objective: {
          kind: "mocov3",
          mlpDim: cl.mlpDim ?? 4096,
          dim: cl.dim ?? 256,
          temperature: cl.temperature ?? 0.2,
          momentum: cl.momentum ?? 0.99,
        },
        views: {
          view1: { ...moco.view1, ...cl.views?.view1 },
          view2: { ...moco.view2, ...cl.views?.view2 },
        },
        ...timing(cl),
        optimizer: { kind: "adamw", betas: [0.9, 0.999], weightDecay: 0.1 },
        rates: [{ match: "patch_embed\\.", frozen: true }, ...stages(depth, cl.rates ?? [0.1, 0.1, 1])],
        init: [{ stage: "mim", to: "base_encoder." }],
      },
    ],
  };
}

function timing({ epochs, batch, microBatch, learningRate, warmup }: StageOptions) {
  return {
    epochs,
    batch,
    learningRate,
    microBatch: microBatch ?? batch,
    warmup: warmup ?? Math.min(40, 0.1 * epochs), // paper: 40 epochs; a short run cannot spend that
  };
}

function decoderFor(width: number, depth: number) {
  if (width >= 768) return { decoderWidth: 512, decoderDepth: 8, decoderHeads: 16 };
  const decoderWidth = Math.max(32, Math.round(width / 2 / 32) * 32);
  return { decoderWidth, decoderDepth: depth >= 12 ? 4 : 2, decoderHeads: decoderWidth / 32 };
}
