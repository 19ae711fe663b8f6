/** What a run will take, before it is run: counted on the graph, timed on a micro-batch, extrapolated by a model of its cost. */
import { type Network, type StepCost, stepCost } from "./communication.ts";
import type { Recipe, Stage } from "../recipe/recipe.ts";
import { cachedMicroBatch, divisorsAround } from "./micro-batch.ts";
import { rehearse, type Rehearsal } from "./rehearse.ts";
import { resolveStage, resolveStages, stepsOf } from "../recipe/stage.ts";
import { stageWork, type StageWork } from "./work.ts";

/** How fast a process is at a stage. */
export interface Speed {
  readonly operationsPerSecond: number;
  /** Seconds of the loss over the whole batch; by default as its operations take. */
  readonly lossSeconds?: number | undefined;
  /** Seconds in which the weights are moved, once a step. */
  readonly updateSeconds: number;
}

export interface ForecastOptions {
  /** Number of images of an epoch. */
  readonly images: number;
  /** That share a batch. */
  readonly processes: number;
  readonly network: Network;
  /** By stage. */
  readonly speeds: ReadonlyMap<string, Speed>;
}

export interface StageForecast {
  readonly stage: string;
  readonly batch: number;
  readonly epochs: number;
  readonly stepsPerEpoch: number;
  readonly steps: number;
  readonly work: StageWork;
  readonly speed: Speed;
  /** Of one step on the asked number of processes. */
  readonly step: StepCost;
}

export interface Forecast {
  readonly recipe: string;
  readonly images: number;
  readonly processes: number;
  readonly network: Network;
  readonly stages: readonly StageForecast[];
  /** By number of processes: seconds of every stage, `null` where its batch cannot be shared equally. */
  readonly totals: readonly {
    readonly processes: number;
    readonly stages: readonly ({ readonly step: StepCost; readonly seconds: number } | null)[];
  }[];
}

const powers = Array.from({ length: 11 }, (_, i) => 2 ** i);

/** Forecasts every stage. Throws when a batch cannot be shared, there are too few images for one, or a speed is missing. */
export function forecast(recipe: Recipe, { images, processes, network, speeds }: ForecastOptions): Forecast {
  const available = Math.min(images, recipe.limit ?? Infinity);
  const stages = resolveStages(recipe).map((stage) => {
    const { name, batch, epochs } = stage;
    if (batch % processes !== 0)
      throw new Error(
        `${processes} processes cannot share the batch of ${batch} of stage ${name} equally; ` +
          `${divisorsAround(batch, processes).join(" or ")} can`,
      );
    if (batch > available)
      throw new Error(
        `a batch of ${batch} is larger than the data set of ${available} images; set it to ${available} or less`,
      );
    const stepsPerEpoch = Math.floor(available / batch);
    const steps = stepsOf(stage, stepsPerEpoch);
    const speed = speeds.get(name);
    if (speed === undefined) throw new Error(`no speed is given for stage ${name}; measureSpeed measures it`);
    // of more processes than one, the operations do not depend on their number
    const [one, several] = [stageWork(stage), stageWork(stage, batch)];
    const cost = (count: number) => {
      const { operations, gathered, reduced } = count === 1 ? one : several;
      const imageSeconds = operations.perImage / speed.operationsPerSecond;
      const lossSeconds = speed.lossSeconds ?? operations.perBatch / speed.operationsPerSecond;
      const { updateSeconds } = speed;
      return stepCost({ batch, imageSeconds, lossSeconds, updateSeconds, gathered, reduced }, count, network);
    };
    const work = processes === 1 ? one : stageWork(stage, processes);
    return { stage: name, batch, epochs, stepsPerEpoch, steps, work, speed, cost };
  });
  const counts = [...new Set([...powers, processes])].sort((a, b) => a - b);
  return {
    recipe: recipe.name,
    images: available,
    processes,
    network,
    stages: stages.map(({ cost, ...stage }) => ({ ...stage, step: cost(processes)! })),
    totals: counts.map((count) => ({
      processes: count,
      stages: stages.map(({ steps, cost }) => {
        const step = cost(count);
        return step === undefined ? null : { step, seconds: steps * step.total };
      }),
    })),
  };
}

/**
 * Times a stage: the second of two real steps on a batch of one micro-batch, or of two where a loss over the whole batch
 * comes between the ways there and back; that loss, on rows that are made up; and the update.
 */
export async function measureSpeed(recipe: Recipe, stage: Stage): Promise<{ speed: Speed; rehearsal: Rehearsal }> {
  const resolved = resolveStage(recipe, stage);
  const { coupled } = resolved.objective;
  const { device = "cpu" } = resolved;
  // a GPU has no such cache, and is not busy with little
  const microBatch = device === "cpu" ? Math.min(stage.microBatch, cachedMicroBatch(resolved)) : stage.microBatch;
  // a processor is as fast at long steps as at short ones
  const rates = stage.rates.map((rule) => ({ ...rule, every: undefined }));
  const small = { ...stage, rates, microBatch, batch: coupled ? 2 * microBatch : microBatch };
  const stages = recipe.stages.map((each) => (each.name === stage.name ? small : each));
  const options = { stage: stage.name, steps: 2, lossOf: coupled ? stage.batch : undefined };
  const rehearsal = await rehearse({ ...recipe, stages }, options);
  const { perImage, perBatch } = stageWork(resolveStage(recipe, small)).operations;
  const { seconds, updateSeconds, lossSeconds } = rehearsal;
  const operationsPerSecond = (small.batch * perImage + perBatch) / (seconds[1]! - updateSeconds);
  return { speed: { operationsPerSecond, updateSeconds, lossSeconds }, rehearsal };
}
