/** What a run will cost, measured before its first step. */
import { tensor } from "../tensor/tensor.ts";
import { sizeOf } from "../tensor/shape.ts";
import { alone } from "../collective/collective.ts";
import { objectiveOf, type Recipe } from "../recipe/recipe.ts";
import { createStageStep, openStageLoader, stepsOf } from "../recipe/stage.ts";

export interface StageEstimate {
  readonly stage: string;
  /** Steps still to do. */
  readonly steps: number;
  readonly secondsPerStep: number;
  /** Numbers that are trained. */
  readonly trainable: number;
}

/** How far a run has come: all stages before number `stage`, counted from 0, and `step` steps of that one. */
export interface Progress {
  readonly stage: number;
  readonly step: number;
}

/**
 * Times what a step of every stage still to do is made of, on a made-up micro-batch, a few times after once to warm up;
 * the median counts. `bytes` is the memory this process then holds, plus what decoded images may take. What the processes
 * of a job say to each other is not in it. Throws when the data do not fill a batch of a stage.
 */
export async function estimate(
  recipe: Recipe,
  done: Progress = { stage: 0, step: 0 },
  collective = alone,
): Promise<{ stages: StageEstimate[]; bytes: number }> {
  const stages: StageEstimate[] = [];
  let [most, images] = [0, 0];
  for (const [index, stage] of recipe.stages.entries()) {
    if (index < done.stage) continue;
    const loader = await openStageLoader({ ...recipe, workers: 0 }, stage);
    await loader.close();
    images = loader.source.length;
    const steps = stepsOf(stage, loader.stepsPerEpoch) - (index === done.stage ? done.step : 0);
    const objective = objectiveOf(recipe, stage);
    const step = await createStageStep(recipe, stage, collective);
    const { microBatch } = step.pieces;
    const fields = Object.entries(objective.fields).map(([name, shape]) => {
      const data = Float32Array.from({ length: sizeOf(shape) * microBatch }, (_, i) => Math.sin(i * 12.9898));
      return [name, tensor("float32", [microBatch, ...shape], data)] as const;
    });
    const part = Object.fromEntries(fields);
    await step.time(part);
    const times: number[] = [];
    const until = performance.now() + 500;
    do times.push(await step.time(part));
    while (times.length < 5 && performance.now() < until);
    const secondsPerStep = times.sort((a, b) => a - b)[Math.floor(times.length / 2)]!;
    const trained = [...step.state.entries.values()].filter((entry) => entry.trained);
    const trainable = trained.reduce((sum, { variable }) => sum + sizeOf(variable.shape), 0);
    stages.push({ stage: stage.name, steps, secondsPerStep, trainable });
    most = Math.max(most, process.memoryUsage().rss);
    await step.release();
  }
  return { stages, bytes: most + Math.min(recipe.cacheMegabytes * 2 ** 20, images * decodedBytes(recipe)) };
}

/** A rough size of one decoded image, bytes. */
function decodedBytes({ data, model }: Recipe): number {
  const side = "size" in data ? data.size : data.kind === "cifar" ? 32 : 4 * model.imageSize;
  return 3 * side ** 2;
}
