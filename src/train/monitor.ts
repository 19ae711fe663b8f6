/** What is watched while a stage trains: extra numbers in some of its rows. Watching never touches what is trained. */
import { conflictRows } from "../evaluators/conflict.ts";
import { openProbe } from "./conflict.ts";
import { lossesOf, objectiveOf, type Recipe, type Stage } from "./recipe.ts";
import type { Step } from "./step.ts";

export interface Monitor {
  /** Whether there is something to measure after `done` steps: a function of `done` alone, so a resumed run logs the same. */
  due(done: number): boolean;
  /** Numbers by name. */
  measure(): Promise<Record<string, number>>;
  release(): Promise<void>;
}

type Options = NonNullable<Stage["monitors"]>[number];

/** The stage's monitors on the weights of `step`. */
export async function openMonitors(
  recipe: Recipe,
  stage: Stage,
  step: Step,
  stepsPerEpoch: number,
): Promise<readonly Monitor[]> {
  const monitors: Monitor[] = [];
  for (const options of stage.monitors ?? [])
    monitors.push(await watchConflict(recipe, stage, step, stepsPerEpoch, options));
  return monitors;
}

/**
 * `conflict.block.<i>`, the mean cosine of both gradients in block i, and `conflict.negative.<i>`, the share below zero, on
 * batches that are the same every time: what changes is the encoder.
 */
async function watchConflict(
  recipe: Recipe,
  stage: Stage,
  step: Step,
  stepsPerEpoch: number,
  { everyEpochs, batches }: Options,
): Promise<Monitor> {
  const { mim, cl } = lossesOf(recipe, stage);
  const losses = { mim: { stage: mim!, parts: "with" as const }, cl: { stage: cl!, parts: "with" as const } };
  // Few images, and the same ones again: no worker's own cache is worth its memory.
  const probe = await openProbe({ ...recipe, workers: 0 }, losses, { batch: stage.batch, batches, warmUpSteps: 0 });
  const every = Math.max(1, Math.round(everyEpochs * stepsPerEpoch));
  return {
    due: (done) => done % every === 0,
    async measure() {
      probe.load({ tensors: step.state.tensors(), prefix: objectiveOf(recipe, stage).encoder });
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
