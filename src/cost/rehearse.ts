/** Real steps of a stage on made-up images: what a run would do, without the run. */
import { readFileSync } from "node:fs";
import { fold, key, Random } from "../tensor/random.ts";
import { sizeOf } from "../tensor/shape.ts";
import { tensor } from "../tensor/tensor.ts";
import type { Recipe } from "../recipe/recipe.ts";
import {
  createStageStep,
  openStageLoader,
  rateAt,
  type ResolvedStage,
  resolveStages,
  samplesOf,
} from "../recipe/stage.ts";
import { apart } from "./apart.ts";
import { trainedNumbers } from "./estimate.ts";
import type { Step } from "../step/step.ts";
import { lossGraph } from "./work.ts";

export interface RehearseOptions {
  readonly stage: string;
  readonly steps: number;
  /** Time the loss of so many images too, whose encoded rows are made up. */
  readonly lossOf?: number | undefined;
}

export interface Rehearsal {
  readonly stage: string;
  readonly batch: number;
  readonly microBatch: number;
  /** Numbers that are trained. */
  readonly trained: number;
  readonly losses: readonly number[];
  /** Of every step, data apart. */
  readonly seconds: readonly number[];
  /** Of a step, how long it takes to move weights, moments and momentum encoder. */
  readonly updateSeconds: number;
  /** Of the loss that was to be timed. */
  readonly lossSeconds?: number;
  /** The most memory that the process had, bytes. */
  readonly mostBytes: number;
}

/**
 * `steps` steps of a stage at its peak learning rate, from fresh weights, on synthetic drawings under the stage's own views,
 * in this process. Nothing is written. Throws when the recipe has no such stage.
 */
export async function rehearseHere(recipe: Recipe, options: RehearseOptions): Promise<Rehearsal> {
  const { stage: name, steps, lossOf } = options;
  const found = resolveStages(recipe).find((each) => each.name === name);
  if (found === undefined) {
    const names = recipe.stages.map((each) => each.name);
    throw new Error(`${recipe.name} has no stage ${name}; its stages are ${names.join(", ")}`);
  }
  const { imageSize } = recipe.model;
  const source = { kind: "synthetic" as const, length: found.batch * steps, size: imageSize, seed: recipe.seed };
  const stage = { ...found, data: { ...found.data, source, limit: undefined, workers: 0 } };
  const loader = await openStageLoader(stage);
  const step = await createStageStep(stage);
  await step.resetCopies();
  const losses: number[] = [];
  const seconds: number[] = [];
  // The second step trains all, the first what a short step trains: together they take the memory of any.
  const first = Math.max(1, step.every - 1);
  for (let i = 0; i < steps; i++) {
    const before = loader.waited();
    const start = performance.now();
    const { loss } = await step.run(samplesOf(loader, i), { number: first + i, ...rateAt(stage, stage.warmup) });
    seconds.push((performance.now() - start - (loader.waited() - before)) / 1000);
    losses.push(loss);
  }
  const trained = trainedNumbers(step.state);
  const updateSeconds = await timeUpdate(step);
  const lossSeconds = lossOf === undefined ? undefined : await timeLoss(stage, step, lossOf);
  await Promise.all([step.release(), loader.close()]);
  return {
    stage: name,
    batch: stage.batch,
    microBatch: step.microBatches.size,
    trained,
    losses,
    seconds,
    updateSeconds,
    ...(lossSeconds === undefined ? {} : { lossSeconds }),
    mostBytes: mostBytes(),
  };
}

/** The most memory that this process had. Linux counts into maxRSS what the parent had when it forked. */
function mostBytes(): number {
  const status = process.platform === "linux" ? readFileSync("/proc/self/status", "utf8") : "";
  return 1024 * Number(/^VmHWM:\s*(\d+) kB/m.exec(status)?.[1] ?? process.resourceUsage().maxRSS);
}

/** Seconds of the loss of `batch` made-up rows and of its gradient, the second time. */
async function timeLoss(stage: ResolvedStage, { backend, state }: Step, batch: number): Promise<number> {
  const program = await backend.compile(lossGraph(stage, batch));
  const inputs = [...program.inputs].map(([name, { shape }]) => {
    const isKnown = state.variables.has(name);
    return [name, isKnown ? state.handle(name) : tensor("float32", shape, noise(sizeOf(shape), stage.seed))] as const;
  });
  program.bind({ inputs: Object.fromEntries(inputs) });
  let seconds = 0;
  for (let i = 0; i < 2; i++) {
    const start = performance.now();
    await program.run();
    seconds = (performance.now() - start) / 1000;
  }
  await program.release();
  return seconds;
}

function noise(length: number, seed: number): Float32Array {
  const random = new Random(fold(key(seed), "rehearsal"));
  return Float32Array.from({ length }, () => random.uniform(-1, 1));
}

/** Seconds of an update that changes nothing any more: the gradient is zero, and so is the learning rate. */
async function timeUpdate(step: Step): Promise<number> {
  const start = performance.now();
  await step.moveCopies(1);
  await step.update({ number: 1, rate: 0 });
  return (performance.now() - start) / 1000;
}

/** The same in a process of its own, so that the memory it took is its own and is free afterwards. */
export function rehearse(recipe: Recipe, options: RehearseOptions): Promise<Rehearsal> {
  return apart<Rehearsal>({ recipe, options }, `the rehearsal of ${options.stage}`);
}
