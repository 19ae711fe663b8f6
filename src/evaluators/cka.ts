/**
 * Linear centred kernel alignment (Kornblith et al., ICML 2019): how alike two sets of features of the same images are, up
 * to rotation and scale. ‖Y'X‖² / (‖X'X‖ ‖Y'Y‖) of features with centred columns, which is the cosine between XX' and YY'.
 */
import type { Features } from "./evaluator.ts";
import { centredColumns } from "./statistics.ts";

/** XX' of centred features at length 1, [count, count]; zero when all rows are the same. */
export interface Gram {
  readonly values: Float64Array;
  readonly count: number;
}

/** Takes count² numbers, so it is for hundreds of images, not for hundreds of thousands. */
export function gram(features: Features): Gram {
  const { count } = features;
  const values = new Float64Array(count ** 2);
  for (const column of centredColumns(features))
    for (let i = 0; i < count; i++) {
      const x = column[i]!;
      for (let j = 0, at = i * count; j <= i; j++, at++) values[at]! += x * column[j]!;
    }
  for (let i = 0; i < count; i++) for (let j = 0; j < i; j++) values[j * count + i] = values[i * count + j]!;
  const length = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
  return { values: length === 0 ? values : values.map((x) => x / length), count };
}

/** Linear CKA in [0, 1] of every one of the first with every one of the second: [first][second]. */
export function cka(first: readonly Gram[], second: readonly Gram[]): number[][] {
  return first.map((a) => second.map((b) => alignment(a, b)));
}

function alignment(a: Gram, b: Gram): number {
  if (a.count !== b.count)
    throw new Error(
      `CKA compares features of the same images, but there are ${a.count} of one and ${b.count} of the other`,
    );
  let sum = 0;
  for (let i = 0; i < a.values.length; i++) sum += a.values[i]! * b.values[i]!;
  return Math.max(0, Math.min(1, sum)); // rounding may step over
}
