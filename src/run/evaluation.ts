/** evaluation.json: what frozen encoders are worth, one row per question and one column per encoder. */
import { join } from "node:path";
import { z } from "zod";
import { readJson, writeJson } from "./json.ts";

export const evaluationSchema = z.object({
  columns: z.array(z.object({ name: z.string(), title: z.string() })),
  rows: z.array(
    z.object({
      /** The evaluator: knn, linear, few-shot … */
      protocol: z.string(),
      label: z.string(),
      /** What the numbers are; `accuracy` and other shares lie in [0, 1] and are shown as percentages. */
      metric: z.string(),
      /** By column name. A column that was not measured is missing or null. */
      values: z.record(z.string(), z.number().nullable()),
      /** Standard deviation over repetitions, in the unit of `values`. */
      deviations: z.record(z.string(), z.number().nullable()).optional(),
      /** On the validation split, where a choice was made on it: what settings are chosen by, rather than by `values`. */
      validation: z.record(z.string(), z.number()).optional(),
      /** What guessing reaches, in the unit of `values`. */
      chance: z.number().optional(),
      /** Which direction is better (default: higher). */
      better: z.enum(["higher", "lower"]).optional(),
    }),
  ),
  notes: z.array(z.string()).optional(),
});
export type Evaluation = z.infer<typeof evaluationSchema>;

export function writeEvaluation(dir: string, evaluation: Evaluation): void {
  writeJson(join(dir, "evaluation.json"), evaluation);
}

/** Undefined when the run was not evaluated. */
export function readEvaluation(dir: string): Evaluation | undefined {
  return readJson(join(dir, "evaluation.json"), evaluationSchema);
}
