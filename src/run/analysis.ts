/** analysis.json: what goes on inside the encoders of a run. Pictures are named relative to samples/. */
import { join } from "node:path";
import { z } from "zod";
import { readJson, writeJson } from "./json.ts";

const encoderSchema = z.object({
  name: z.string(),
  title: z.string(),
  /** Of the mean patch token; `depth` 0 is the embedding, i the output of the i-th block. */
  statistics: z.array(
    z.object({
      depth: z.number(),
      /** Mean Euclidean length. */
      norm: z.number(),
      /** Mean over the columns of the standard deviation of rows of length 1, times √width: 0 is collapse, 1 isotropic. */
      deviation: z.number(),
      /** Mean square of the off-diagonal entries of the correlation matrix: 0 when no column repeats another. */
      correlation: z.number(),
      /** (Σλ)² / Σλ² of the covariance's eigenvalues λ: how many directions carry the variance, of at most `width`. */
      participationRatio: z.number(),
    }),
  ),
  /** Mean attention distance in pixels, over images and queries; per head, nearest first. */
  distances: z.array(z.object({ block: z.number(), mean: z.number(), heads: z.array(z.number()) })),
});

export const analysisSchema = z.object({
  data: z.string(),
  imageSize: z.number(),
  encoders: z.array(encoderSchema),
  /** Where the class token of the last block looks, mean over heads: a picture per image and encoder. */
  attention: z
    .array(z.object({ id: z.string(), image: z.string(), maps: z.record(z.string(), z.string()) }))
    .optional(),
  /** Linear CKA of the mean patch tokens: [depth of the first][depth of the second], in [0, 1]. */
  similarities: z
    .array(z.object({ first: z.string(), second: z.string(), values: z.array(z.array(z.number())) }))
    .optional(),
  /** Features of images in the plane: `points` in the order of `images`, in no unit. */
  map: z
    .object({
      method: z.string(),
      /** `group` is an index into `groups`, -1 for none. */
      groups: z.array(z.string()),
      images: z.array(z.object({ id: z.string(), image: z.string(), group: z.number() })),
      encoders: z.array(
        z.object({ name: z.string(), title: z.string(), points: z.array(z.tuple([z.number(), z.number()])) }),
      ),
    })
    .optional(),
  /** What was left out, and why. */
  notes: z.array(z.string()).optional(),
});
export type Analysis = z.infer<typeof analysisSchema>;

export function writeAnalysis(dir: string, analysis: Analysis): void {
  writeJson(join(dir, "analysis.json"), analysis);
}

/** Undefined when the encoders were not analysed. */
export function readAnalysis(dir: string): Analysis | undefined {
  return readJson(join(dir, "analysis.json"), analysisSchema);
}
