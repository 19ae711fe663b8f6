/** What a run will cost, measured before its first step. */
import { tensor } from "../tensor/tensor.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { State } from "../backend/backend.ts";
import { kindOf } from "../data/sources/open.ts";
import { alone } from "../collective/collective.ts";
import { cacheBytes, createStageStep, openStageLoader, type ResolvedStage, stepsLeft } from "../recipe/stage.ts";

export interface StageEstimate {
  readonly stage: string;
  /** Steps still to do. */
  readonly steps: number;
  readonly secondsPerStep: number;
  /** Numbers that are trained. */
  readonly trainable: number;
}

/** Of the stages that are left. */
export interface Estimate {
  readonly stages: StageEstimate[];
  /** Main memory. */
  readonly bytes: number;
}

/**
 * Times what a step of every stage still to do is made of (`done`: steps of the first that are), on a made-up micro-batch, a few times after once to warm up;
 * the median counts. `bytes` is the memory this process then holds, plus what decoded images may take. What the processes
 * of a job say to each other is not in it. Throws when the data do not fill a batch of a stage.
 */
export async function estimate(all: readonly ResolvedStage[], done = 0, collective = alone): Promise<Estimate> {
  const stages: StageEstimate[] = [];
  let [most, decoded] = [0, 0];
  for (const [index, stage] of all.entries()) {
    const loader = await openStageLoader({ ...stage, data: { ...stage.data, workers: 0 } });
    await loader.close();
    decoded = Math.min(cacheBytes(stage.data), loader.source.length * decodedBytes(stage));
    const steps = stepsLeft(stage, loader.stepsPerEpoch, index === 0 ? done : 0);
    const step = await createStageStep(stage, { collective });
    const { size: microBatch } = step.microBatches;
    const fields = Object.entries(stage.objective.fields).map(([name, shape]) => {
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
    stages.push({ stage: stage.name, steps, secondsPerStep, trainable: trainedNumbers(step.state) });
    most = Math.max(most, process.memoryUsage().rss);
    await step.release();
  }
  return { stages, bytes: most + decoded };
}

/** Of all these stages. */
export function totalSeconds(stages: readonly StageEstimate[]): number {
  return stages.reduce((sum, { steps, secondsPerStep }) => sum + steps * secondsPerStep, 0);
}

/** A rough size of one decoded image, bytes. */
function decodedBytes({ data: { source }, model }: ResolvedStage): number {
  const side = kindOf(source).imageSize?.(source) ?? 4 * model.imageSize;
  return 3 * side ** 2;
}

/** Numbers that are trained. */
export function trainedNumbers({ variables, trained }: State): number {
  return [...variables.values()].reduce((sum, { name, shape }) => sum + (trained.has(name) ? sizeOf(shape) : 0), 0);
}
