/** What kinds that read image files have in common: options, and what these mean. */
import * as z from "zod";
import { type Split, splitNames } from "../source.ts";

export const splitSpec = z.enum(splitNames).optional();
export const shortSideSpec = z
  .int()
  .min(1)
  .optional()
  .describe("larger images are reduced to this shorter side, in pixels, while they are decoded");

export const rangeSpec = z
  .tuple([z.number(), z.number()])
  .refine(([black, white]) => black < white, { error: "expected two numbers, the first below the second" })
  .optional()
  .describe("values that are black and white in images of more than 8 bits a channel; default: 0 and 65535");

/** Members of `SourceKind` for a kind that has both options. */
export const imageFiles = {
  splits: {
    all: <S extends { split?: Split | undefined }>(spec: S): S => ({ ...spec, split: undefined }),
    training: <S extends { split?: Split | undefined }>(input: S): S => ({ ...input, split: "train" }),
  },
  reduced: <S extends { shortSide?: number | undefined }>(input: S, shortSide: number): S => ({
    ...input,
    shortSide: input.shortSide ?? shortSide,
  }),
};
