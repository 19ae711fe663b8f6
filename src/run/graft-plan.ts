/** plan-<stage>.json: the learning rate of every block of a planned graft, and what it was planned from. */
import { join } from "node:path";
import { z } from "zod";
import { readJson, writeJson } from "./json.ts";

export const plannedGraftSchema = z.object({
  stage: z.string(),
  blocks: z.array(
    z.object({
      /** Cosine between the gradients of MIM and CL: mean and standard deviation over batches, share below zero. */
      cosine: z.number(),
      deviation: z.number(),
      negative: z.number(),
      /** How far the block went in the joint steps, relative to its weights: ‖change‖ / ‖weights‖. */
      movement: z.number(),
      /** Mean cosine with its sign turned, smoothed so that it never falls towards the output. */
      conflict: z.number(),
      /** Factor on the learning rate. */
      rate: z.number(),
    }),
  ),
  /** False: the blocks differ by no more than chance, and the rates are the paper's thirds. */
  trend: z.boolean(),
  lowest: z.number(),
  warmUpSteps: z.number(),
  jointSteps: z.number(),
  batches: z.number(),
});
export type PlannedGraft = z.infer<typeof plannedGraftSchema>;

export function writePlan(dir: string, plan: PlannedGraft): void {
  writeJson(pathOf(dir, plan.stage), plan);
}

/** Undefined when the stage was not planned. */
export function readPlan(dir: string, stage: string): PlannedGraft | undefined {
  return readJson(pathOf(dir, stage), plannedGraftSchema);
}

function pathOf(dir: string, stage: string): string {
  return join(dir, `plan-${stage}.json`);
}
