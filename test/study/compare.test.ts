import { expect, it } from "vitest";
import { compare, verdictOf } from "../../src/study/compare.ts";

const bySeed = (...values: number[]) => new Map(values.map((value, seed) => [seed, value]));

it("pairs by seed", () => {
  const comparison = compare(bySeed(0.5, 0.7, 0.9), bySeed(0.4, 0.5, 0.6))!;
  expect(comparison.difference).toBeCloseTo(0.2);
  expect(comparison.error).toBeCloseTo(0.1 / Math.sqrt(3)); // deviation of 0.1, 0.2, 0.3
  expect(compare(bySeed(0.5, 0.7), new Map([[1, 0.6]]))).toMatchObject({ seeds: 1 });
  expect(compare(bySeed(0.5), new Map([[1, 0.6]]))).toBeUndefined();
});

// Three seeds: Student's t at 97.5 % with two degrees of freedom is 4.303.
it.each([
  ["far above zero", 0.05, 0.01, 3, "agrees"],
  ["far below zero", -0.05, 0.01, 3, "does not agree"],
  ["less than its interval", 0.04, 0.01, 3, "within noise"],
  ["the same, with more seeds", 0.04, 0.01, 5, "agrees"],
  ["nothing", 0, 0, 3, "within noise"],
] as const)("a difference %s", (_, difference, error, seeds, verdict) => {
  expect(verdictOf({ difference, error, seeds })).toBe(verdict);
});

it("one seed says nothing", () => {
  expect(verdictOf({ difference: 0.5, seeds: 1 })).toBe("within noise");
});
