/**
 * The methods that the paper compares (Jiang et al., ICLR 2023), as recipes over the same two kinds of stages: masked image
 * modelling (MIM) and contrast (CL). Grafting is data: where a stage's weights come from, and how fast each layer learns.
 */
import type { SourceInput } from "../data/sources/open.ts";
import {
  type AugmentOptions,
  centerCrop,
  maeView,
  mocoViews,
  noise,
  type ViewInput,
} from "../data/augmentation/views.ts";
import { type ClInput, type ClName, type MimInput, type MimName, takes } from "../objectives/kinds.ts";
import type { PatchDrop } from "../objectives/mocov3.ts";
import { patchCount, type VitConfig } from "../nn/vit.ts";
import { layerDecay, lower, type RateRule, stages, upper } from "../optim/groups.ts";
import type { RecipeInput, Schedule } from "../recipe/recipe.ts";

/** What each method does, by name. */
export const methods = {
  mim: "masked image modelling alone (MAE)",
  cl: "contrast alone (MoCo v3)",
  mtl: "both losses on one encoder at once, as a weighted sum",
  "mim-to-cl": "MIM, then CL with embeddings and lower blocks frozen",
  "cl-to-mim": "the reverse order: CL, then MIM with embeddings and lower blocks frozen",
  "layer-grafted": "MIM, then CL with a small learning rate in the lower blocks and a large one in the upper ones",
  "auto-grafted": "layer-grafted, with a learning rate per block from the measured conflict of the two losses",
} as const;
export type Method = keyof typeof methods;

export interface MethodOptions {
  readonly name?: string;
  readonly description?: string;
  readonly data: SourceInput;
  readonly model: VitConfig;
  readonly seed?: number;
  /** Pre-processing when the encoder is used; default: the middle 224/256 of the image. */
  readonly resize?: number;
  readonly mim: MimOptions;
  readonly cl: ClOptions;
  readonly mtl?: MtlOptions;
  readonly graft?: GraftOptions;
  /** A checkpoint with an encoder that takes the place of the first of two stages. */
  readonly parent?: string;
  /** The features of every stage are looked at every so many epochs (default: a tenth of the stage, at least 1), or never. */
  readonly watch?: number | false;
}

export interface StageOptions {
  readonly epochs: number;
  readonly batch: number;
  readonly microBatch?: number;
  /** For a batch of 256 (paper: 1.5e-4 in both stages; small models and short runs take more). */
  readonly learningRate: number;
  readonly warmup?: number;
  /** Of the learning rate after the warm-up (default and paper: cosine); a constant one is annealed in the last tenth. */
  readonly schedule?: Schedule;
}

export interface MimOptions extends StageOptions {
  /** Changes to MAE's view. */
  readonly view?: AugmentOptions;
  /** Which loss (default: mae). */
  readonly objective?: MimName;
  /** Share of patches that are hidden (default 0.75; SimMIM 0.6). */
  readonly maskRatio?: number;
  /** MAE predicts pixels normalised per patch (default) or as they are. */
  readonly normPix?: boolean;
}

export interface ClOptions extends StageOptions {
  /** Changes to MoCo v3's views. */
  readonly views?: { readonly view1?: AugmentOptions; readonly view2?: AugmentOptions };
  /** Which loss (default: mocov3). */
  readonly objective?: ClName;
  readonly temperature?: number;
  readonly momentum?: number;
  /** Hidden width of the heads and width of the space of contrast (paper: 4096 and 256). */
  readonly mlpDim?: number;
  readonly dim?: number;
  readonly patchDrop?: PatchDrop;
}

/** Joint training; what is left out is as in `cl`. */
export interface MtlOptions extends Partial<StageOptions> {
  readonly mimWeight?: number;
  readonly clWeight?: number;
}

/** How the second of two stages builds on the first. */
export interface GraftOptions {
  /** Factors on the learning rate of equal groups of blocks, input side first (layer-grafted; paper: 0.1, 0.1, 1). */
  readonly rates?: readonly number[];
  /** Instead of `rates`: the learning rate falls by this factor per block towards the input. */
  readonly layerDecay?: number;
  /** Embeddings and so many blocks are frozen (mim-to-cl and cl-to-mim: two thirds; otherwise none). */
  readonly fixTo?: number;
  /** Blocks from `fixTo` up start afresh. */
  readonly freshEnd?: boolean;
  /** Blocks from `fixTo` up start from the encoder in this checkpoint of a CL run. */
  readonly endFrom?: string;
  /** Class token and the blocks whose rate is below 1 are trained in every so many steps only, at as many times the rate. */
  readonly lazy?: number;
  /** Holds embeddings and the first `blocks` blocks near the weights of the first stage (paper, ViT-L: 1e-5 and 12). */
  readonly l1Anchor?: { readonly weight: number; readonly blocks: number };
}

/** The recipe of a method. Throws when the options do not go together. */
export function method(name: Method, options: MethodOptions): RecipeInput {
  const { data, model, seed = 0, resize, parent, watch } = options;
  const [mim, cl] = [mimStage(options), clStage(options)];
  refuseLazy(name, options);
  const plans: Record<Method, () => StageInput[]> = {
    mim: () => [mim],
    cl: () => [cl],
    mtl: () => [mtlStage(options)],
    "mim-to-cl": () => [mim, graft(cl, mim, hard(options), options)],
    "cl-to-mim": () => [cl, graft(mim, cl, hard(options), options)],
    "layer-grafted": () => [mim, graft(cl, mim, soft(options), options)],
    "auto-grafted": () => [
      mim,
      {
        ...graft(cl, mim, frozen(options), options),
        plan: { mim: { objective: mimObjective(model, options.mim), views: mim.views } },
      },
    ],
  };
  const list = plans[name]();
  if (parent !== undefined && list.length === 1)
    throw new Error(`${name} is one stage: no parent can take the place of its first stage`);
  return {
    name: options.name ?? name,
    ...(options.description === undefined ? {} : { description: options.description }),
    seed,
    data,
    model,
    evaluationView: centerCrop(model.imageSize, resize === undefined ? {} : { resize, interpolation: "bicubic" }),
    stages: (parent === undefined ? list : list.slice(1)).map((stage) => watched(stage, watch)),
  };
}

function watched(stage: StageInput, every: number | false = Math.max(1, stage.epochs / 10)): StageInput {
  return every === false ? stage : { ...stage, monitors: [{ kind: "features", everyEpochs: every }] };
}

type StageInput = RecipeInput["stages"][number];

function mimStage({ model, mim }: MethodOptions): StageInput {
  return {
    name: "mim",
    objective: mimObjective(model, mim),
    views: mimViews(model, mim),
    ...timing(mim),
    optimizer: { kind: "adamw", betas: [0.9, 0.95], weightDecay: 0.05 },
  };
}

function clStage({ model, cl }: MethodOptions): StageInput {
  return {
    name: "cl",
    objective: clObjective(cl),
    views: clViews(model, cl),
    ...timing(cl),
    optimizer: { kind: "adamw", betas: [0.9, 0.999], weightDecay: 0.1 },
    rates: frozenPatches,
  };
}

/** Both at once. The encoder has no frozen part: MIM is there to train it from the pixels up. */
function mtlStage(options: MethodOptions): StageInput {
  const { model, mim, cl, mtl = {} } = options;
  const { mimWeight = 1, clWeight = 1, ...changes } = mtl;
  return {
    name: "mtl",
    objective: { kind: "joint", mim: mimObjective(model, mim), cl: clObjective(cl), mimWeight, clWeight },
    views: { ...mimViews(model, mim), ...clViews(model, cl) },
    ...timing({ ...cl, ...changes }),
    optimizer: { kind: "adamw", betas: [0.9, 0.999], weightDecay: 0.1 },
  };
}

/** `stage` on top of `below`: the encoder it starts from, and the learning rates of its layers. */
function graft(
  stage: StageInput,
  below: StageInput,
  rates: readonly RateRule[],
  { model: { depth }, graft: { fixTo, freshEnd = false, endFrom, l1Anchor } = {}, parent }: MethodOptions,
): StageInput {
  const start = parent === undefined ? { stage: below.name } : { path: parent };
  const cut = freshEnd || endFrom !== undefined;
  if (freshEnd && endFrom !== undefined) throw new Error("the upper blocks start either afresh or from a checkpoint");
  if (cut && fixTo === undefined) throw new Error("say with fixTo where the upper blocks begin");
  if (l1Anchor !== undefined && stage.name === "mim")
    throw new Error("the L1 anchor is for a contrastive second stage");
  return {
    ...stage,
    objective:
      l1Anchor === undefined
        ? stage.objective
        : { ...(stage.objective as Extract<ClInput, { kind: ClName }>), l1Anchor },
    rates: [...rates],
    init: [
      { ...start, ...(cut ? { match: `^${lower(fixTo!)}` } : {}) },
      ...(endFrom === undefined ? [] : [{ path: endFrom, match: upper(fixTo!, depth) }]),
    ],
  };
}

/** Lower blocks frozen, everything above at the full rate. */
function hard({ model: { depth }, graft: { fixTo = Math.round((2 * depth) / 3) } = {} }: MethodOptions): RateRule[] {
  return [{ match: lower(fixTo), frozen: true }];
}

/** A learning rate per group of blocks, smaller towards the input. */
function soft(options: MethodOptions): RateRule[] {
  const { model, graft: { rates = [0.1, 0.1, 1], layerDecay: ratio, lazy: every } = {} } = options;
  const rules = ratio === undefined ? stages(model.depth, rates) : layerDecay(model.depth, ratio);
  const isLazy = ({ match, rate = 1 }: RateRule) => every !== undefined && match !== "" && rate < 1;
  return [...frozen(options), ...rules.map((rule) => (isLazy(rule) ? { ...rule, every } : rule))];
}

/** Throws one sentence when the method has no lower blocks that could be lazy. */
function refuseLazy(name: Method, { graft: { rates = [0.1, 0.1, 1], layerDecay: ratio, lazy } = {} }: MethodOptions) {
  if (lazy === undefined) return;
  const why: Partial<Record<Method, string>> = {
    mim: "has one stage, which trains all blocks alike",
    cl: "has one stage, which trains all blocks alike",
    mtl: "has one stage, which trains all blocks alike",
    "mim-to-cl": "freezes its lower blocks, which is less work still",
    "cl-to-mim": "freezes its lower blocks, which is less work still",
    "auto-grafted":
      "measures its rates when the stage begins; graft-plan measures them now, and layer-grafted takes them as rates",
  };
  const wrong =
    why[name] ??
    (ratio !== undefined
      ? "with layerDecay has a rate below 1 in every block; give rates"
      : rates.every((rate) => rate >= 1)
        ? "with these rates has no block below 1"
        : undefined);
  if (wrong !== undefined) throw new Error(`lazy is for lower blocks that learn slowly, but ${name} ${wrong}`);
}

/** What is frozen whatever the rates. */
function frozen({ graft: { fixTo } = {} }: MethodOptions): RateRule[] {
  return fixTo === undefined ? frozenPatches : [{ match: lower(fixTo), frozen: true }];
}

/** MoCo v3's way to a stable Transformer (its section 4.2); after MIM it keeps what MIM has learned. */
export const frozenPatches: RateRule[] = [{ match: "patch_embed\\.", frozen: true }];

function mimObjective(model: VitConfig, { objective = "mae", maskRatio, normPix }: MimOptions): MimInput {
  const options = given(objective, { maskRatio, normPix }, { normPix: "predicts pixels as they are" });
  const decoder = takes(objective, "decoderWidth") ? decoderFor(model) : {};
  return { kind: objective, ...decoder, ...options };
}

function clObjective(options: ClOptions): ClInput {
  const { objective = "mocov3", mlpDim, dim, temperature, momentum, patchDrop } = options;
  const wide = objective === "vicreg" && dim === undefined ? { mlpDim, dim: mlpDim } : { mlpDim, dim };
  const found = given(
    objective,
    { ...wide, temperature, momentum, patchDrop },
    { momentum: "has no key encoder", patchDrop: "sees whole images" },
  );
  return { kind: objective, ...found };
}

/** The options that were given. Throws when the kind does not take one of them. */
function given(
  kind: MimName | ClName,
  options: Readonly<Record<string, unknown>>,
  why: Readonly<Record<string, string>>,
) {
  const found = Object.entries(options).filter(([, value]) => value !== undefined);
  const [unknown] = found.find(([name]) => !takes(kind, name)) ?? [];
  if (unknown !== undefined)
    throw new Error(`${kind} ${unknown in why ? `${why[unknown]}: leave out ${unknown}` : `has no ${unknown}`}`);
  return Object.fromEntries(found);
}

function mimViews(model: VitConfig, { view }: MimOptions): Record<string, ViewInput> {
  return { images: { ...maeView(model.imageSize), ...view }, noise: noise(patchCount(model)) };
}

function clViews(model: VitConfig, { views, patchDrop }: ClOptions): Record<string, ViewInput> {
  const moco = mocoViews(model.imageSize);
  const masks = noise(patchCount(model));
  return {
    view1: { ...moco.view1, ...views?.view1 },
    view2: { ...moco.view2, ...views?.view2 },
    ...(patchDrop === undefined ? {} : { noise1: masks, noise2: masks }),
  };
}

function timing({ epochs, batch, microBatch, learningRate, warmup, schedule }: StageOptions) {
  return {
    epochs,
    batch,
    learningRate,
    microBatch: microBatch ?? batch,
    warmup: warmup ?? Math.min(40, 0.1 * epochs), // paper: 40 epochs; a short run cannot spend that
    ...(schedule === undefined ? {} : { schedule }),
  };
}

/** A decoder of half the encoder's width: at ViT-B this is near the paper's 512. */
function decoderFor({ width, depth }: VitConfig) {
  if (width >= 768) return { decoderWidth: 512, decoderDepth: 8, decoderHeads: 16 };
  const decoderWidth = Math.max(32, Math.round(width / 2 / 32) * 32);
  return { decoderWidth, decoderDepth: depth >= 12 ? 4 : 2, decoderHeads: decoderWidth / 32 };
}
