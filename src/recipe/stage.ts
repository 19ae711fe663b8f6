/** A stage with everything that it takes to train it, and the parts it is trained with: loader, compiled step, schedule. */
import { key } from "../tensor/random.ts";
import type { VitConfig } from "../nn/vit.ts";
import type { Backend } from "../backend/backend.ts";
import type { Device } from "../backend/device.ts";
import { machineBytes } from "../backend/machine.ts";
import { openBackend } from "../backend/open.ts";
import { scaleByBatch, straight, warmupConstant, warmupCosine } from "../optim/schedules.ts";
import type { CenterView } from "../data/augmentation/views.ts";
import { type Loader, openLoader } from "../data/batches/loader.ts";
import type { SourceSpec } from "../data/sources/open.ts";
import { alone, type Collective } from "../collective/collective.ts";
import { createObjective, lossesIn, type ObjectiveSpec } from "../objectives/kinds.ts";
import type { Objective } from "../objectives/objective.ts";
import { cut, type Samples } from "../step/micro-batches.ts";
import { createStep, type Step } from "../step/step.ts";
import type { Finish } from "../run/finish.ts";
import type { Recipe, Stage } from "./recipe.ts";

/** A stage of a recipe, whose objective is known and which has taken over what all stages share. */
export interface ResolvedStage extends Omit<Stage, "objective"> {
  /** The objective as the recipe has it. */
  readonly spec: ObjectiveSpec;
  readonly objective: Objective;
  readonly model: VitConfig;
  readonly seed: number;
  readonly device: Device | undefined;
  readonly threads: number | undefined;
  readonly evaluationView: CenterView;
  readonly data: {
    readonly source: SourceSpec;
    readonly limit: number | undefined;
    readonly workers: number;
    readonly maxBadShare: number;
    readonly cacheMegabytes: number;
  };
  /** Where it is annealed and ends, when the run is finished early. */
  readonly finish?: Finish;
}

export function resolveStage(recipe: Recipe, { objective: spec, ...stage }: Stage): ResolvedStage {
  const { model, seed, device, threads, evaluationView } = recipe;
  const { data: source, limit, workers, maxBadShare, cacheMegabytes } = recipe;
  const data = { source, limit, workers, maxBadShare, cacheMegabytes };
  return {
    ...stage,
    spec,
    objective: createObjective(model, spec),
    model,
    seed,
    device,
    threads,
    evaluationView,
    data,
  };
}

export function resolveStages(recipe: Recipe): readonly ResolvedStage[] {
  return recipe.stages.map((stage) => resolveStage(recipe, stage));
}

/** The stages of a run, of one that is finished early: none after the one that is annealed. */
export function finishedEarly(
  stages: readonly ResolvedStage[],
  finish: Finish | null | undefined,
): readonly ResolvedStage[] {
  if (finish == null) return stages;
  const last = stages.findIndex(({ name }) => name === finish.stage);
  return stages.slice(0, last + 1).map((stage, i) => (i === last ? { ...stage, finish } : stage));
}

/** The stage trained by another objective on the same images. */
export function withObjective(stage: ResolvedStage, spec: ObjectiveSpec): ResolvedStage {
  return { ...stage, spec, objective: createObjective(stage.model, spec) };
}

/**
 * The two kinds of losses of a stage, each as a stage of its own, with its part of the views and without an anchor: a joint
 * stage has both.
 */
export function lossesOf(stage: ResolvedStage): { readonly mim?: ResolvedStage; readonly cl?: ResolvedStage } {
  const { spec, views } = stage;
  const { mim, cl } = lossesIn(spec);
  const only = (own: ObjectiveSpec): ResolvedStage => {
    const alone = withObjective(stage, own);
    const fields = Object.entries(views).filter(([field]) => field in alone.objective.fields);
    return { ...alone, views: Object.fromEntries(fields) };
  };
  return { ...(mim === undefined ? {} : { mim: only(mim) }), ...(cl === undefined ? {} : { cl: only(cl) }) };
}

/** Memory for decoded images: no more than a quarter of what this process may use, whatever the recipe says. */
export function cacheBytes({ cacheMegabytes }: Pick<ResolvedStage["data"], "cacheMegabytes">): number {
  return Math.min(cacheMegabytes * 2 ** 20, Math.floor(machineBytes() / 4));
}

/** The loader of a stage, which gives its batches in the micro-batches that the step asks for. */
export function openStageLoader(stage: ResolvedStage, collective = alone): Promise<Loader> {
  const { objective, batch, microBatch, views, seed, data } = stage;
  const { source, limit, workers, maxBadShare } = data;
  const { count: microBatches, passes } = cut(objective, batch, microBatch, collective);
  const shard = { batch, microBatches, passes, rank: collective.rank, ranks: collective.size };
  const options = { source, views, ...shard, seed, workers, maxBadShare, cacheBytes: cacheBytes(data) };
  return openLoader(limit === undefined ? options : { ...options, limit });
}

/** The samples of step number `step`, counted from 0 through all epochs. */
export function samplesOf(loader: Loader, step: number): Samples {
  const { stepsPerEpoch } = loader;
  const [epoch, inEpoch] = [Math.floor(step / stepsPerEpoch), step % stepsPerEpoch];
  return async (microBatch) => (await loader.batch(epoch, inEpoch, microBatch)).fields;
}

/** Where and by whom a stage is trained. Default: by this process alone, on the recipe's device. */
export interface StageStepOptions {
  readonly collective?: Collective;
  readonly backend?: Backend;
}

/** The compiled step of a stage, with fresh parameters drawn from the recipe's seed. */
export function createStageStep(
  stage: ResolvedStage,
  { collective = alone, backend }: StageStepOptions = {},
): Promise<Step> {
  const { objective, batch, microBatch, rates: rules, optimizer, seed, recompute, clip } = stage;
  return createStep(objective, {
    backend: backend ?? openBackend(stage),
    batch,
    microBatch,
    rules,
    optimizer,
    key: key(seed),
    collective,
    recompute,
    clip,
    equalCopies: true, // every stage begins so (`recipe/start.ts`)
  });
}

/** Learning rate before the layers' factors, and share of the stage done, at a time in epochs. */
export function rateAt(
  {
    batch,
    epochs: total,
    warmup,
    schedule,
    anneal,
    ...rates
  }: Pick<Stage, "batch" | "epochs" | "warmup" | "schedule" | "anneal" | "learningRate" | "minLearningRate">,
  epoch: number,
): { rate: number; progress: number } {
  const [peak, end] = [scaleByBatch(rates.learningRate, batch), scaleByBatch(rates.minLearningRate, batch)];
  const rate =
    schedule === "cosine"
      ? warmupCosine(epoch, { peak, warmup, total, end })
      : warmupConstant(epoch, { peak, warmup, total, anneal, end });
  return { rate, progress: epoch / total };
}

/**
 * The same before step number `step`, counted from 0. In a stage that is finished early both go straight from where they
 * stood to their ends, so that what follows the progress, as MoCo v3's momentum does, does not jump and ends where it should.
 */
export function scheduleAt(
  stage: ResolvedStage,
  step: number,
  stepsPerEpoch: number,
): { rate: number; progress: number } {
  const { finish, minLearningRate, batch } = stage;
  if (finish === undefined || step < finish.from) return rateAt(stage, step / stepsPerEpoch);
  const start = rateAt(stage, finish.from / stepsPerEpoch);
  const share = (step - finish.from) / (finish.to - finish.from);
  return {
    rate: straight(share, start.rate, scaleByBatch(minLearningRate, batch)),
    progress: straight(share, start.progress, 1),
  };
}

/**
 * An epoch that no training reaches. Measurements take theirs from here on: the draws are new, while the images are those of
 * the run, whose seed chooses them where there is a limit.
 */
export const farEpoch = 2 ** 21;

/** Optimizer steps of a stage. */
export function stepsOf({ epochs, finish }: Pick<ResolvedStage, "epochs" | "finish">, stepsPerEpoch: number): number {
  return finish?.to ?? Math.max(1, Math.round(epochs * stepsPerEpoch));
}

/**
 * Steps of a stage of which `done` are done. Throws one sentence when it has not so many: the recipe was changed, or the
 * images of a run that does not know which they were.
 */
export function stepsLeft(
  stage: Pick<ResolvedStage, "name" | "epochs" | "finish">,
  stepsPerEpoch: number,
  done: number,
): number {
  const steps = stepsOf(stage, stepsPerEpoch);
  if (done > steps)
    throw new Error(
      `stage ${stage.name} has done ${done} steps, but has only ${steps} with these images and this recipe; ` +
        "resume it with what it was begun with, or start a new run from its weights",
    );
  return steps - done;
}
