/** The parts of a stage: loader, compiled step, schedule. */
import { key } from "../tensor/random.ts";
import { scaleByBatch, warmupCosine } from "../optim/schedules.ts";
import { type Loader, openLoader } from "../data/batches/loader.ts";
import { alone } from "../collective/collective.ts";
import { cut, type Samples } from "../step/gradient.ts";
import { objectiveOf, type Recipe, type Stage } from "./recipe.ts";
import { createStep, type Step } from "../step/step.ts";

/** The loader of a stage, which gives its batches in the pieces that the step asks for. */
export function openStageLoader(recipe: Recipe, stage: Stage, collective = alone): Promise<Loader> {
  const { data: source, seed, limit, workers, maxBadShare, cacheMegabytes } = recipe;
  const cacheBytes = cacheMegabytes * 2 ** 20;
  const { parts, passes } = cut(objectiveOf(recipe, stage), stage.batch, stage.microBatch, collective);
  const pieces = { batch: stage.batch, parts, passes, rank: collective.rank, ranks: collective.size };
  const options = { source, views: stage.views, ...pieces, seed, workers, maxBadShare, cacheBytes };
  return openLoader(limit === undefined ? options : { ...options, limit });
}

/** The samples of step number `step`, counted from 0 through all epochs. */
export function samplesOf(loader: Loader, step: number): Samples {
  const { stepsPerEpoch } = loader;
  const [epoch, inEpoch] = [Math.floor(step / stepsPerEpoch), step % stepsPerEpoch];
  return async (piece) => (await loader.batch(epoch, inEpoch, piece)).fields;
}

/** The compiled step of a stage, with fresh parameters drawn from the recipe's seed. */
export function createStageStep(recipe: Recipe, stage: Stage, collective = alone): Promise<Step> {
  return createStep(objectiveOf(recipe, stage), {
    batch: stage.batch,
    microBatch: stage.microBatch,
    rules: stage.rates,
    optimizer: stage.optimizer,
    key: key(recipe.seed),
    collective,
    ...(stage.recompute === undefined ? {} : { recompute: stage.recompute }),
    ...(stage.clip === undefined ? {} : { clip: stage.clip }),
    ...(recipe.threads === undefined ? {} : { executable: { threads: recipe.threads } }),
  });
}

/** Learning rate before the layers' factors, and share of the stage done, at a time in epochs. */
export function rateAt(stage: Stage, epoch: number): { rate: number; progress: number } {
  const scaled = (rate: number) => scaleByBatch(rate, stage.batch);
  const { epochs: total, warmup } = stage;
  const peak = scaled(stage.learningRate);
  return {
    rate: warmupCosine(epoch, { peak, warmup, total, end: scaled(stage.minLearningRate) }),
    progress: epoch / total,
  };
}

/** Optimizer steps of a stage. */
export function stepsOf(stage: Stage, stepsPerEpoch: number): number {
  return Math.max(1, Math.round(stage.epochs * stepsPerEpoch));
}
