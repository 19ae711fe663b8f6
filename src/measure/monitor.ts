/** What is watched while a stage trains: extra numbers in some of its rows. Watching never touches what is trained. */
import { conflictRows } from "../evaluators/conflict.ts";
import { openFeatures } from "../evaluators/encoder.ts";
import type { MetricRow } from "../run/metrics.ts";
import { collapse } from "./collapse.ts";
import { openProbe } from "./probe.ts";
import type { Stage } from "../recipe/recipe.ts";
import { lossesOf, type ResolvedStage, stepsOf } from "../recipe/stage.ts";
import { openSlice } from "./slice.ts";
import type { Step } from "../step/step.ts";

export interface Monitor {
  /** Whether there is something to measure after `done` steps: a function of `done` alone, so a resumed run logs the same. */
  due(done: number): boolean;
  /** Numbers by name. */
  measure(): Promise<Record<string, number>>;
  /** What the reader must be told at the last of the stage's rows; of these alone, so a resumed run tells the same. */
  warning?(rows: readonly MetricRow[]): string | undefined;
  release(): Promise<void>;
}

type Options<K> = Extract<NonNullable<Stage["monitors"]>[number], { kind: K }>;

/** The stage's monitors on the weights of `step`. */
export async function openMonitors(
  stage: ResolvedStage,
  step: Step,
  stepsPerEpoch: number,
): Promise<readonly Monitor[]> {
  const monitors: Monitor[] = [];
  for (const options of stage.monitors ?? [])
    monitors.push(
      options.kind === "conflict"
        ? await watchConflict(stage, step, stepsPerEpoch, options)
        : await watchFeatures(stage, step, stepsPerEpoch, options),
    );
  return monitors;
}

/**
 * `conflict.block.<i>`, the mean cosine of both gradients in block i, and `conflict.negative.<i>`, the share below zero, on
 * batches that are the same every time: what changes is the encoder.
 */
async function watchConflict(
  stage: ResolvedStage,
  step: Step,
  stepsPerEpoch: number,
  { everyEpochs, batches }: Options<"conflict">,
): Promise<Monitor> {
  // Few images, and the same ones again: no worker's own cache is worth its memory.
  const { mim, cl } = lossesOf({ ...stage, data: { ...stage.data, workers: 0 } });
  const losses = { mim: { stage: mim!, parts: "with" as const }, cl: { stage: cl!, parts: "with" as const } };
  const probe = await openProbe(losses, { batch: stage.batch, batches, warmUpSteps: 0 });
  const every = interval(everyEpochs, stepsPerEpoch);
  return {
    due: (done) => done % every === 0,
    async measure() {
      await probe.load({ tensors: await step.state.read(), prefix: stage.objective.encoder });
      const { rows } = conflictRows((await probe.measure()).batches);
      const blocks = rows.filter(({ group }) => group === "block");
      return Object.fromEntries(
        blocks.flatMap(({ block, mean, negative }) => [
          [`conflict.block.${block}`, mean],
          [`conflict.negative.${block}`, negative],
        ]),
      );
    },
    release: probe.release,
  };
}

/**
 * `features.deviation` and, where the images have classes, `knn.accuracy` beside `knn.chance`, all by the encoder as it is, on
 * images that are the same every time; see `openSlice`. First after one step, when the encoder is nearly what the stage
 * starts from, and last at the stage's end.
 */
async function watchFeatures(
  stage: ResolvedStage,
  step: Step,
  stepsPerEpoch: number,
  { everyEpochs, images }: Options<"features">,
): Promise<Monitor> {
  const { data, model, seed, threads, evaluationView, objective } = stage;
  const slice = await openSlice(data.source, evaluationView, { images, seed, threads });
  // Bound to the memory that is trained: it reads what is there when it runs, and writes nothing.
  const { backend, state } = step;
  const encoder = await openFeatures(backend, model, slice.batch, (name) => state.handle(objective.encoder + name));
  const every = interval(everyEpochs, stepsPerEpoch);
  const steps = stepsOf(stage, stepsPerEpoch);
  return {
    due: (done) => done === 1 || done % every === 0 || done === steps,
    async measure() {
      const { deviation, knn } = await slice.measure(encoder);
      return {
        "features.deviation": deviation,
        ...(knn === undefined ? {} : { "knn.accuracy": knn.accuracy, "knn.chance": knn.chance }),
      };
    },
    warning: (rows) => collapse(rows, stage),
    release: encoder.release,
  };
}

/** Steps between two measurements. */
function interval(everyEpochs: number, stepsPerEpoch: number): number {
  return Math.max(1, Math.round(everyEpochs * stepsPerEpoch));
}
