/** layers.json: what the output of every block is worth, that is where in depth an encoder's knowledge sits. */
import { join } from "node:path";
import { z } from "zod";
import { readJson, writeJson } from "./json.ts";

export const layersSchema = z.object({
  /** The images it was measured on. */
  data: z.string(),
  /** The evaluator, and what it was asked, for people. */
  protocol: z.string(),
  label: z.string(),
  chance: z.number().optional(),
  encoders: z.array(
    z.object({
      name: z.string(),
      title: z.string(),
      /** Accuracy in [0, 1] on the test split; `depth` 0 is the embedding, i the output of the i-th block. */
      scores: z.array(z.object({ depth: z.number(), value: z.number(), validation: z.number().optional() })),
    }),
  ),
});
export type Layers = z.infer<typeof layersSchema>;

export function writeLayers(dir: string, layers: Layers): void {
  writeJson(join(dir, "layers.json"), layers);
}

/** Undefined when it was not measured. */
export function readLayers(dir: string): Layers | undefined {
  return readJson(join(dir, "layers.json"), layersSchema);
}
