/** How many images one run of the graph takes: a matter of memory and time, not of the result. */
import { cachedRows } from "../backend/backend.ts";
import { machineBytes } from "../backend/machine.ts";
import { partOf } from "../step/micro-batches.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { type ResolvedStage, resolveStage } from "../recipe/stage.ts";
import { stageWork } from "./work.ts";

export interface BatchChoice {
  /** Images per step, of every stage. */
  readonly batch?: number | undefined;
  /** Images per run of the graph; `auto`: what keeps activations in cache and fits in memory. */
  readonly microBatch?: number | "auto" | undefined;
  /** Whether blocks are computed again in the backward pass. */
  readonly recompute?: boolean | undefined;
}

/**
 * The recipe with another batch or micro-batch in every stage. Throws when a micro-batch does not divide a batch; one that
 * nobody asked for stays, where it divides the new batch, and a batch that was computed in one piece stays in one.
 */
export function withBatch(recipe: Recipe, { batch, microBatch, recompute }: BatchChoice): Recipe {
  const stages = recipe.stages.map((stage) => {
    const sized = { ...stage, batch: batch ?? stage.batch, recompute: recompute ?? stage.recompute };
    const kept = stage.microBatch === stage.batch ? sized.batch : stage.microBatch;
    const size = microBatch ?? (sized.batch % kept === 0 ? kept : "auto");
    if (size !== "auto" && sized.batch % size !== 0)
      throw new Error(
        `a micro-batch of ${size} does not divide the batch of ${sized.batch} of stage ${stage.name}; ` +
          `${divisorsAround(sized.batch, size).join(" or ")} would`,
      );
    return { ...sized, microBatch: size === "auto" ? autoMicroBatch(resolveStage(recipe, sized)) : size };
  });
  return { ...recipe, stages };
}

/** The largest micro-batch that keeps activations in cache, and the rest of the training state in this machine's memory. */
export function autoMicroBatch(stage: ResolvedStage, memory: number = machineBytes()): number {
  const { batch } = stage;
  let microBatch = cachedMicroBatch(stage);
  const fits = () => {
    const { bytes } = stageWork({ ...stage, microBatch });
    return Object.values(bytes).reduce((sum, each) => sum + each, 0) < 0.5 * memory; // the runtime adds up to two thirds
  };
  while (microBatch > 1 && !fits()) {
    microBatch--;
    while (batch % microBatch !== 0) microBatch--;
  }
  return microBatch;
}

/** The largest micro-batch whose rows (images × tokens) a processor has in its caches. */
export function microBatchFor(batch: number, rowsPerImage: number): number {
  return partOf(batch, rowsPerImage, cachedRows);
}

/** The largest micro-batch that keeps activations in cache, whatever memory there is. */
export function cachedMicroBatch({ batch, objective }: ResolvedStage): number {
  return microBatchFor(batch, objective.tokens);
}

/** The divisors of `n` next to `wanted`, below and above. */
export function divisorsAround(n: number, wanted: number): number[] {
  const divisors = Array.from({ length: n }, (_, i) => i + 1).filter((each) => n % each === 0);
  const found = [divisors.findLast((each) => each < wanted), divisors.find((each) => each > wanted)];
  return found.filter((each) => each !== undefined);
}
