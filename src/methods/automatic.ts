/** Settings for somebody's own images: model, batch, epochs and learning rate from the data set and the machine. */
import { machineBytes, processors } from "../backend/machine.ts";
import { kindOf, type SourceInput } from "../data/sources/open.ts";
import { patchCount, presets, type VitConfig } from "../nn/vit.ts";
import { type ClName, takes } from "../objectives/kinds.ts";
import { defineRecipe, type Recipe, type RecipeInput, type Stage } from "../recipe/recipe.ts";
import { cachedMicroBatch } from "../cost/micro-batch.ts";
import { imageWork } from "../cost/work.ts";
import { type ResolvedStage, resolveStages } from "../recipe/stage.ts";
import { type ClOptions, type GraftOptions, method, type Method, type MimOptions } from "./methods.ts";

export interface AutomaticOptions {
  readonly data: SourceInput;
  /** Default: layer-grafted. */
  readonly method?: Method;
  /** Number of images. */
  readonly images: number;
  /** Typical shorter side of an image, pixels. */
  readonly shortSide: number;
  /** Name of a preset, or the model of weights at hand; default: chosen for the images and the time. */
  readonly model?: string | VitConfig;
  readonly imageSize?: number;
  readonly patchSize?: number;
  /** Epochs of each stage; default: as many as the time allows. */
  readonly epochs?: { readonly mim?: number; readonly cl?: number };
  readonly batch?: number;
  readonly learningRate?: number;
  readonly seed?: number;
  /** Time to aim for when epochs are not given (default 8 hours). */
  readonly hours?: number;
  /** Operations that this machine makes a second in training (default: a rough number of its processors). */
  readonly speed?: number;
  /** A checkpoint with an encoder that takes the place of the first of two stages. */
  readonly parent?: string;
  /** See `MethodOptions`. */
  readonly watch?: number | false;
  /** Settings of the stages and of the graft that go before the chosen ones. */
  readonly mim?: Partial<MimOptions>;
  readonly cl?: Partial<ClOptions>;
  readonly graft?: GraftOptions;
}

/** Images that a stage must see before more work on each of them pays, and the most epochs. */
const [enough, most] = [100_000, 300];

/** A recipe for these images on this machine: docs/defaults.md. Throws when there is one image or no such model. */
export function automatic(options: AutomaticOptions): RecipeInput {
  const { images, hours = 8, speed = 40e9 * processors() } = options;
  if (images < 2) throw new Error("contrastive learning tells images apart, so it needs at least 2 images");
  const asked = Math.max(options.epochs?.mim ?? 0, options.epochs?.cl ?? 0);
  const batchOf = (model: VitConfig, epochs: number) =>
    Math.min(options.batch ?? chooseBatch(images, epochs, model), images);
  const choices = models(options).map((model) => {
    const stages = resolveStages(defineRecipe(recipeOf(model, 1, batchOf(model, most), options)));
    const operations = stages.reduce((sum, stage) => sum + images * imageWork(stage), 0);
    return { model, affordable: (hours * 3600 * speed) / operations };
  });
  const { model, affordable } =
    choices.find((each) => Math.min(most, each.affordable) >= (asked || enough / images)) ?? choices.at(-1)!;
  const epochs = Math.min(
    most,
    Math.max(1, affordable < 10 ? Math.round(10 * affordable) / 10 : Math.round(affordable)),
  );
  const recipe = recipeOf(model, epochs, batchOf(model, asked || epochs), options);
  return inMicroBatches(recipe, resolveStages(defineRecipe(recipe)), fittingBatch(model), options);
}

function recipeOf(model: VitConfig, epochs: number, batch: number, options: AutomaticOptions): RecipeInput {
  const { data, seed = 0 } = options;
  const rates = ratesFor(model, batch);
  return method(options.method ?? "layer-grafted", {
    data: kindOf(data).reduced?.(data, 2 * model.imageSize) ?? data,
    model,
    seed,
    ...(isSmall(model) ? { resize: model.imageSize } : {}),
    ...(options.parent === undefined ? {} : { parent: options.parent }),
    ...(options.watch === undefined ? {} : { watch: options.watch }),
    mim: {
      epochs: options.epochs?.mim ?? epochs,
      batch,
      learningRate: options.learningRate ?? rates.mim,
      ...options.mim,
    },
    cl: {
      epochs: options.epochs?.cl ?? epochs,
      batch,
      learningRate: options.learningRate ?? rates.cl,
      ...contrastFor(model, options.cl?.objective),
      ...options.cl,
    },
    graft: { rates: graftRates(model), ...options.graft },
  });
}

/**
 * The recipe in micro-batches that keep activations in cache. Samples that are compared stay in one piece where memory
 * holds them: in several the step costs a second forward pass.
 */
function inMicroBatches(
  recipe: RecipeInput,
  resolved: readonly ResolvedStage[],
  fits: number,
  { mim, cl }: AutomaticOptions,
): RecipeInput {
  const sizeOf = (stage: ResolvedStage) =>
    stage.objective.coupled && stage.batch <= fits ? stage.batch : cachedMicroBatch(stage);
  const stages = recipe.stages.map((stage, i) => {
    const { microBatch: asked } = (stage.name === "mim" ? mim : cl) ?? {};
    return { ...stage, microBatch: asked ?? sizeOf(resolved[i]!) };
  });
  return { ...recipe, stages };
}

/**
 * Both losses as one would choose them for a trained model, on batches of `batch`: for a question about a run that has only
 * one of them.
 */
export function bothLosses(recipe: Recipe, batch: number): readonly Stage[] {
  const { data, model } = recipe;
  const { mean, std } = recipe.evaluationView;
  const { views, ...contrast } = contrastFor(model);
  const { mim, cl } = ratesFor(model, batch);
  const timing = { epochs: 1, batch };
  const normalised = { view1: { ...views?.view1, mean, std }, view2: { ...views?.view2, mean, std } };
  return defineRecipe(
    method("mtl", {
      data,
      model,
      mim: { ...timing, learningRate: mim, view: { mean, std } },
      cl: { ...timing, learningRate: cl, ...contrast, views: normalised },
    }),
  ).stages;
}

/** Given for a batch of 256 and scaled linearly; below that the square root of the batch serves Adam better. */
function ratesFor(model: VitConfig, batch: number): { readonly mim: number; readonly cl: number } {
  const scaled = (rate: number) => Number((rate * Math.sqrt(256 / Math.min(256, batch))).toPrecision(2));
  if (isSmall(model)) return { mim: scaled(2e-3), cl: scaled(4e-3) };
  const rate = scaled(model.width <= 256 ? 1e-3 : 5e-4);
  return { mim: rate, cl: rate };
}

/** The paper's 1 : 10; milder where MIM is short and leaves the lower layers more to learn. */
function graftRates(model: VitConfig): readonly number[] {
  const lower = isSmall(model) ? 0.3 : 0.1;
  return model.depth % 3 === 0 ? [lower, lower, 1] : [lower, 1];
}

/** Heads in proportion to the encoder, 4096 at ViT-B; and what a small encoder makes the most of in a short time. */
function contrastFor(model: VitConfig, objective: ClName = "mocov3"): Partial<ClOptions> {
  const mlpDim = Math.min(4096, Math.max(512, Math.round((model.width * 16) / 3 / 256) * 256));
  const options = { mlpDim, ...(isSmall(model) ? { temperature: 0.1, momentum: 0.98 } : {}) };
  const known = Object.fromEntries(Object.entries(options).filter(([name]) => takes(objective, name)));
  return { ...known, ...(isSmall(model) ? { views: smallViews } : {}) };
}

/** Whether an encoder is made for few pixels or little time: its settings are those of docs/defaults.md. */
function isSmall({ width }: VitConfig): boolean {
  return width <= 128;
}

// Crops that keep much of the picture, colours that stay recognisable, and a blur in proportion to few pixels.
const smallView = {
  scale: [0.35, 1] as [number, number],
  jitter: { probability: 0.8, brightness: 0.2, contrast: 0.2, saturation: 0.2, hue: 0.05 },
  grayscale: 0.05,
};
const sigma: [number, number] = [0.1, 0.6];
const smallViews = {
  view1: { ...smallView, blur: { probability: 0.5, sigma } },
  view2: { ...smallView, blur: { probability: 0.1, sigma }, solarize: { probability: 0.1, threshold: 128 } },
};

/** Encoders for images of this size, the most work first. Nothing is enlarged beyond 32 pixels. */
function models({ model: name, images, shortSide, imageSize, patchSize }: AutomaticOptions): readonly VitConfig[] {
  if (typeof name === "object") return [{ ...name, imageSize: imageSize ?? name.imageSize }];
  const preset = name === undefined ? undefined : presets[name];
  if (name !== undefined && preset === undefined)
    throw new Error(`there is no model ${name}; available: ${Object.keys(presets).join(", ")}`);
  const list = preset !== undefined ? [preset] : shortSide <= 80 ? forThumbnails(shortSide) : forPhotos(images);
  return list.map((model) => {
    const patch = patchSize ?? model.patchSize;
    const side = Math.min(model.imageSize, Math.max(shortSide, 32));
    return {
      ...model,
      imageSize: imageSize ?? Math.max(2 * patch, Math.floor(side / patch) * patch),
      patchSize: patch,
    };
  });
}

const least = { width: 64, depth: 6, heads: 2 };
const small = { width: 96, depth: 6, heads: 3 };
const medium = { width: 192, depth: 12, heads: 3 };

/** All of their pixels, in many patches or in few. */
function forThumbnails(shortSide: number): readonly VitConfig[] {
  const [imageSize, fine] = [80, shortSide < 64 ? 4 : 8];
  return [
    { imageSize, patchSize: fine, ...medium },
    { imageSize, patchSize: fine, ...small },
    { imageSize, patchSize: 2 * fine, ...small },
    { imageSize, patchSize: 2 * fine, ...least },
  ];
}

function forPhotos(images: number): readonly VitConfig[] {
  return [
    ...(images < 50_000 ? [] : [presets["vit-small/16"]!]),
    { imageSize: 160, patchSize: 16, ...medium },
    { imageSize: 128, patchSize: 16, ...small },
    { imageSize: 96, patchSize: 16, ...small },
    { imageSize: 64, patchSize: 16, ...small },
    { imageSize: 64, patchSize: 16, ...least },
  ];
}

/** The largest batch of which the activations of two views can be alive at once. */
function fittingBatch(model: VitConfig): number {
  const { width, depth, heads } = model;
  const tokens = patchCount(model) + 1;
  const bytesPerImage = 2 * depth * 4 * (tokens * width * 22 + 3 * heads * tokens ** 2);
  return (0.35 * machineBytes()) / bytesPerImage;
}

/** Contrast wants many negatives, but also some thousand steps; and a batch that memory does not hold has its price. */
function chooseBatch(images: number, epochs: number, model: VitConfig): number {
  const bound = Math.min(256, fittingBatch(model), images / 20, Math.max(64, (images * epochs) / 4000));
  return 2 ** Math.floor(Math.log2(Math.max(8, bound)));
}
