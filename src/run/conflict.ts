/** conflict.json and conflict.csv: how the gradients of the two losses lie to each other in every block of an encoder. */
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "./atomic.ts";
import { readJson, writeJson } from "./json.ts";

/** Parameters of a block that are looked at together; `block` is all of them. */
export const parameterGroups = ["attention", "mlp", "norm", "block"] as const;
export type ParameterGroup = (typeof parameterGroups)[number];

const distributionSchema = z.object({
  mean: z.number(),
  /** Sample standard deviation. */
  deviation: z.number(),
  quantiles: z.object({ p5: z.number(), p25: z.number(), p50: z.number(), p75: z.number(), p95: z.number() }),
  /** Share of values below zero. */
  negative: z.number(),
});
export type Distribution = z.infer<typeof distributionSchema>;

const trendSchema = z.object({
  /** Spearman's correlation of a block's mean cosine with its depth: negative when the conflict grows. */
  rankCorrelation: z.number(),
  /** Least-squares change of the cosine from a block to the next, mean over the batches. */
  slopePerBlock: z.number(),
  /** Its standard error over the batches; left out when there is only one. */
  slopeError: z.number().optional(),
});
export type Trend = z.infer<typeof trendSchema>;

const lossSchema = z.object({
  objective: z.string(),
  /** The stage whose checkpoint had decoder or heads; left out when no stage has trained any. */
  partsOf: z.string().optional(),
  /** Steps for which those were trained on the frozen encoder first, because they were not trained with it. */
  warmUpSteps: z.number(),
  /** Mean over the batches. */
  loss: z.number(),
});

export const conflictSchema = z.object({
  encoder: z.object({ stage: z.string(), step: z.number(), checkpoint: z.string() }),
  mim: lossSchema,
  cl: lossSchema,
  batches: z.number(),
  batch: z.number(),
  seed: z.number(),
  /** One per block and group, input side first; cosines and norms have one value per batch. */
  rows: z.array(
    distributionSchema.extend({
      block: z.number(),
      group: z.enum(parameterGroups),
      cosines: z.array(z.number()),
      mimNorms: z.array(z.number()),
      clNorms: z.array(z.number()),
      /** Cosine of the two gradients averaged over all batches: the noise of single batches averages out. */
      ofMeans: z.number().optional(),
    }),
  ),
  trends: z.record(z.enum(parameterGroups), trendSchema),
});
export type Conflict = z.infer<typeof conflictSchema>;
export type ConflictRow = Conflict["rows"][number];

/** Writes both files; the CSV has one line per batch, block and group. */
export function writeConflict(dir: string, conflict: Conflict): void {
  writeJson(join(dir, "conflict.json"), conflict);
  const lines = conflict.rows.flatMap(({ block, group, cosines, mimNorms, clNorms }) =>
    cosines.map((cosine, batch) => [batch, block, group, cosine, mimNorms[batch], clNorms[batch]].join(",")),
  );
  writeFileAtomic(join(dir, "conflict.csv"), `batch,block,group,cosine,mim_norm,cl_norm\n${lines.join("\n")}\n`);
}

/** Undefined when it was not measured. */
export function readConflict(dir: string): Conflict | undefined {
  return readJson(join(dir, "conflict.json"), conflictSchema);
}
