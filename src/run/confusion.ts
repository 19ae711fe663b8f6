/** confusion.json: which classes an encoder takes for which. Pictures are named relative to samples/. */
import { join } from "node:path";
import { z } from "zod";
import { readJson, writeJson } from "./json.ts";

export const confusionSchema = z.object({
  data: z.string(),
  encoder: z.object({ name: z.string(), title: z.string() }),
  /** How the classes were predicted, for people. */
  label: z.string(),
  classes: z.array(z.string()),
  /** Test images: [true class][predicted class]. */
  counts: z.array(z.array(z.number())),
  /** The pairs of classes that are most often taken for each other, worst first, with images that were. */
  pairs: z.array(
    z.object({
      truth: z.number(),
      predicted: z.number(),
      count: z.number(),
      images: z.array(z.object({ id: z.string(), image: z.string() })),
      /** What the predicted class looks like. */
      examples: z.array(z.object({ id: z.string(), image: z.string() })),
    }),
  ),
});
export type Confusion = z.infer<typeof confusionSchema>;

export function writeConfusion(dir: string, confusion: Confusion): void {
  writeJson(join(dir, "confusion.json"), confusion);
}

/** Undefined when it was not measured. */
export function readConfusion(dir: string): Confusion | undefined {
  return readJson(join(dir, "confusion.json"), confusionSchema);
}
