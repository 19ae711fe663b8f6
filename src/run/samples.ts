/** samples/: pictures of a run, and the JSON files that say what they show. Image names are relative to samples/. */
import { join } from "node:path";
import { z } from "zod";
import { encodePng } from "../data/formats/png.ts";
import type { Pixels } from "../data/source.ts";
import { writeFileAtomic } from "./atomic.ts";
import { readJson, writeJson } from "./json.ts";

/** samples/learning-rates.json: the peak learning rate each layer had in each stage, input side first. */
export const learningRatesSchema = z.object({
  stages: z.array(
    z.object({
      stage: z.string(),
      layers: z.array(z.object({ layer: z.string(), rate: z.number(), frozen: z.boolean().optional() })),
    }),
  ),
});
export type LearningRates = z.infer<typeof learningRatesSchema>;

/** samples/reconstructions.json: what the masked autoencoder sees and what it makes of it. */
export const reconstructionsSchema = z.object({
  stage: z.string(),
  items: z.array(z.object({ id: z.string(), input: z.string(), masked: z.string(), reconstructed: z.string() })),
  note: z.string().optional(),
});
export type Reconstructions = z.infer<typeof reconstructionsSchema>;

/** samples/neighbours.json: the images each encoder holds to be most alike; `hit` = shares the query's label. */
export const neighboursSchema = z.object({
  encoders: z.array(z.object({ name: z.string(), title: z.string().optional() })),
  queries: z.array(
    z.object({
      id: z.string(),
      image: z.string(),
      results: z.record(
        z.string(),
        z.array(
          z.object({
            id: z.string(),
            image: z.string(),
            similarity: z.number().optional(),
            hit: z.boolean().optional(),
          }),
        ),
      ),
    }),
  ),
  note: z.string().optional(),
});
export type Neighbours = z.infer<typeof neighboursSchema>;

/** Everything in samples/ that the report knows how to draw. */
export interface Samples {
  readonly learningRates?: LearningRates | undefined;
  readonly reconstructions?: Reconstructions | undefined;
  readonly neighbours?: Neighbours | undefined;
}

/** Writes a picture into samples/ and returns its name. */
export async function writePicture(dir: string, name: string, pixels: Pixels): Promise<string> {
  writeFileAtomic(join(dir, "samples", name), await encodePng(pixels));
  return name;
}

/** Writes the given parts and leaves the others as they are. The pictures are the caller's to write. */
export function writeSamples(dir: string, samples: Samples): void {
  for (const name of ["learningRates", "reconstructions", "neighbours"] as const)
    if (samples[name] !== undefined) writeJson(join(dir, "samples", fileNames[name]), samples[name]);
}

export function readSamples(dir: string): Samples {
  const path = (name: keyof Samples) => join(dir, "samples", fileNames[name]);
  return {
    learningRates: readJson(path("learningRates"), learningRatesSchema),
    reconstructions: readJson(path("reconstructions"), reconstructionsSchema),
    neighbours: readJson(path("neighbours"), neighboursSchema),
  };
}

const fileNames = {
  learningRates: "learning-rates.json",
  reconstructions: "reconstructions.json",
  neighbours: "neighbours.json",
} as const satisfies Record<keyof Samples, string>;
