/** What a run will cost, measured before its first step. */
import { tensor } from "../tensor/tensor.ts";
import { sizeOf } from "../tensor/shape.ts";
import { openSource } from "../data/source.ts";
import { objectiveOf, type Recipe } from "./recipe.ts";
import { createStageStep, stepsOf } from "./stage.ts";

export interface StageEstimate {
  readonly stage: string;
  readonly steps: number;
  readonly secondsPerStep: number;
  /** Numbers that are trained. */
  readonly trainable: number;
}

/**
 * Times a few steps of every stage on made-up data, after one to warm up; the median counts. `bytes` is the memory this process then
 * holds, plus what decoded images may take.
 */
export async function estimate(recipe: Recipe): Promise<{ stages: StageEstimate[]; bytes: number }> {
  const source = await openSource(recipe.data);
  const images = Math.min(source.length, recipe.limit ?? Infinity);
  const stages: StageEstimate[] = [];
  let most = 0;
  for (const stage of recipe.stages) {
    const objective = objectiveOf(recipe, stage);
    const step = await createStageStep(recipe, stage);
    const fields = Object.entries(objective.fields).map(([name, shape]) => {
      const data = Float32Array.from({ length: sizeOf(shape) * stage.batch }, (_, i) => Math.sin(i * 12.9898));
      return [name, tensor("float32", [stage.batch, ...shape], data)] as const;
    });
    const batch = Object.fromEntries(fields);
    await step.gradients(batch);
    const times: number[] = [];
    for (let spent = 0; times.length < 5 && spent < 500; spent += times.at(-1)!) {
      const start = performance.now();
      await step.gradients(batch);
      times.push(performance.now() - start);
    }
    const secondsPerStep = times.sort((a, b) => a - b)[Math.floor(times.length / 2)]! / 1000;
    const trained = [...step.state.entries.values()].filter((entry) => entry.trained);
    const trainable = trained.reduce((sum, { variable }) => sum + sizeOf(variable.shape), 0);
    const steps = stepsOf(stage, Math.floor(images / stage.batch));
    stages.push({ stage: stage.name, steps, secondsPerStep, trainable });
    most = Math.max(most, process.memoryUsage().rss);
    await step.release();
  }
  return { stages, bytes: most + Math.min(recipe.cacheMegabytes * 2 ** 20, images * decodedBytes(recipe)) };
}

/** A rough size of one decoded image, bytes. */
function decodedBytes({ data, model }: Recipe): number {
  const side = data.kind === "folder" ? 4 * model.imageSize : data.size;
  return 3 * side ** 2;
}
