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
  /** Name of a preset, or the model of weights at hand; default: chosen from the number and the size of the images. */
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
  /** A checkpoint with an encoder that takes the place of the first of two stages. */
  readonly parent?: string;
  /** See `MethodOptions`. */
  readonly watch?: number | false;
  /** Settings of the stages and of the graft that go before the chosen ones. */
  readonly mim?: Partial<MimOptions>;
  readonly cl?: Partial<ClOptions>;
  readonly graft?: GraftOptions;
}

/** A recipe for these images on this machine. Throws when there is one image or no such model. */
export function automatic(options: AutomaticOptions): RecipeInput {
  const { images, data, seed = 0, hours = 8 } = options;
  if (images < 2) throw new Error("contrastive learning tells images apart, so it needs at least 2 images");
  const model = chooseModel(options);
  const tokens = patchCount(model) + 1;
  const batch = Math.min(options.batch ?? chooseBatch(images, tokens, model), images);

  const learningRate = options.learningRate ?? rateFor(model, batch);
  const recipe = (epochs: number) =>
    method(options.method ?? "layer-grafted", {
      data: kindOf(data).reduced?.(data, 2 * model.imageSize) ?? data,
      model,
      seed,
      ...(isSmall(model) ? { resize: model.imageSize } : {}),
      ...(options.parent === undefined ? {} : { parent: options.parent }),
      ...(options.watch === undefined ? {} : { watch: options.watch }),
      mim: {
        epochs: options.epochs?.mim ?? epochs,
        batch,
        learningRate,
        ...options.mim,
      },
      cl: {
        epochs: options.epochs?.cl ?? epochs,
        batch,
        learningRate,
        ...contrastFor(model, options.cl?.objective),
        ...options.cl,
      },
      graft: { rates: model.depth % 3 === 0 ? [0.1, 0.1, 1] : [0.1, 1], ...options.graft },
    });

  const [least, most] = [10, 300];
  const longest = resolveStages(defineRecipe(recipe(most)));
  const perEpoch = longest.reduce((sum, stage) => sum + images * imageWork(stage), 0);
  // Rough operations per second; the measured estimate is printed before the first step.
  const perSecond = 40e9 * processors();
  const affordable = (hours * 3600 * perSecond) / perEpoch;
  const chosen = recipe(Math.round(Math.min(most, Math.max(least, affordable))));
  return inMicroBatches(chosen, longest, fittingBatch(tokens, model), options);
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
  const { mlpDim, views } = contrastFor(model);
  const timing = { epochs: 1, batch, learningRate: rateFor(model, batch) };
  const normalised = { view1: { ...views?.view1, mean, std }, view2: { ...views?.view2, mean, std } };
  return defineRecipe(
    method("mtl", {
      data,
      model,
      mim: { ...timing, view: { mean, std } },
      cl: { ...timing, mlpDim, views: normalised },
    }),
  ).stages;
}

/** Given for a batch of 256 and scaled linearly; below that the square root of the batch serves Adam better. */
function rateFor({ width }: VitConfig, batch: number): number {
  return (width <= 256 ? 1e-3 : 5e-4) * Math.sqrt(256 / Math.min(256, batch));
}

/** Heads in proportion to the encoder, 4096 at ViT-B, and what small images bear. */
function contrastFor(model: VitConfig, objective: ClName = "mocov3"): { mlpDim?: number; views?: typeof smallViews } {
  const mlpDim = Math.min(4096, Math.max(512, Math.round((model.width * 16) / 3 / 256) * 256));
  return { ...(takes(objective, "mlpDim") ? { mlpDim } : {}), ...(isSmall(model) ? { views: smallViews } : {}) };
}

function isSmall({ imageSize }: VitConfig): boolean {
  return imageSize <= 64;
}

/** Small images: crops that keep most of the picture, and a blur in proportion to its size. */
const smallViews = {
  view1: { scale: [0.3, 1] as [number, number], blur: { probability: 0.5, sigma: [0.1, 0.6] as [number, number] } },
  view2: { scale: [0.3, 1] as [number, number], blur: { probability: 0.1, sigma: [0.1, 0.6] as [number, number] } },
};

function chooseModel({ model: name, images, shortSide, imageSize, patchSize }: AutomaticOptions): VitConfig {
  if (typeof name === "object") return { ...name, imageSize: imageSize ?? name.imageSize };
  const chosen = name ?? (shortSide <= 80 ? "vit-micro" : images < 50_000 ? "vit-tiny/16" : "vit-small/16");
  const preset = presets[chosen];
  if (preset === undefined)
    throw new Error(`there is no model ${chosen}; available: ${Object.keys(presets).join(", ")}`);
  const patch = patchSize ?? preset.patchSize;
  // Photos are reduced to a size that a small model makes use of; nothing is enlarged.
  const wanted =
    imageSize ?? (name === undefined && chosen === "vit-tiny/16" ? Math.min(160, shortSide) : preset.imageSize);
  const size = imageSize ?? Math.max(patch * 2, Math.floor(Math.min(wanted, Math.max(shortSide, 32)) / patch) * patch);
  return { ...preset, imageSize: size, patchSize: patch };
}

/** The largest batch of which the activations of two views can be alive at once. */
function fittingBatch(tokens: number, { width, depth, heads }: VitConfig): number {
  const bytesPerImage = 2 * depth * 4 * (tokens * width * 22 + 3 * heads * tokens ** 2);
  return (0.35 * machineBytes()) / bytesPerImage;
}

/** Contrast wants many negatives; a batch that memory does not hold has its price, so it is for those who ask for it. */
function chooseBatch(images: number, tokens: number, model: VitConfig): number {
  const fits = fittingBatch(tokens, model);
  const steps = images / 20; // at least some twenty steps an epoch
  const power = Math.floor(Math.log2(Math.max(8, Math.min(256, fits, steps))));
  return 2 ** power;
}
