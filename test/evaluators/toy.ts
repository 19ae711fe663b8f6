/** Features whose answers are known. */
import type { Features, LabelledFeatures } from "../../src/evaluators/evaluator.ts";
import { randomFor } from "../helpers.ts";

export function featuresOf(rows: readonly (readonly number[])[]): Features {
  return { rows: Float32Array.from(rows.flat()), count: rows.length, width: rows[0]!.length };
}

export function labelled(rows: readonly (readonly number[])[], labels: readonly number[]): LabelledFeatures {
  return { features: featuresOf(rows), labels: Int32Array.from(labels) };
}

/** `count` points around one unit vector per class, `spread` apart; row i is of class i % classes. */
export function clusters(
  name: string,
  { count, classes = 3, width = 5, spread = 0.2 }: { count: number; classes?: number; width?: number; spread?: number },
): LabelledFeatures {
  const random = randomFor("clusters", name);
  const rows = Array.from({ length: count }, (_, i) =>
    Array.from({ length: width }, (_, j) => Number(i % classes === j) + spread * random.normal()),
  );
  return labelled(
    rows,
    rows.map((_, i) => i % classes),
  );
}
