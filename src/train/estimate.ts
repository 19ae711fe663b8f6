/** What a run will cost, measured before its first step. */
import { tensor } from "../tensor/tensor.ts";
import { sizeOf } from "../tensor/shape.ts";
import { openSource } from "../data/source.ts";
import { createStageStep } from "./loop.ts";
import { objectiveOf, type Recipe } from "./recipe.ts";

export interface StageEstimate {
  readonly stage: string;
  readonly steps: number;
  readonly secondsPerStep: number;
  /** Numbers that are trained. */
  readonly trainable: number;
}

/**
 * Times one step of every stage on random-like data after one to warm up. `bytes` is the memory this process then
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
    const start = performance.now();
    await step.gradients(batch);
    const secondsPerStep = (performance.now() - start) / 1000;
    const trained = [...step.state.entries.values()].filter((entry) => entry.trained);
    const trainable = trained.reduce((sum, { variable }) => sum + sizeOf(variable.shape), 0);
    const steps = Math.max(1, Math.round(stage.epochs * Math.floor(images / stage.batch)));
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
