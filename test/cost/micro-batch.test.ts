import { describe, expect, it } from "vitest";
import { paper } from "../../src/methods/paper.ts";
import { autoMicroBatch, divisorsAround, microBatchFor, withBatch } from "../../src/cost/micro-batch.ts";
import { defineRecipe, type Stage } from "../../src/recipe/recipe.ts";
import { resolveStage, resolveStages } from "../../src/recipe/stage.ts";
import { stageWork } from "../../src/cost/work.ts";
import { tiny } from "../train/tiny.ts";

const recipe = defineRecipe(paper("paper/graft-vit-base", { data: { kind: "synthetic" } }));
const cl = recipe.stages[1]!;
const sizesOf = ({ stages }: { stages: readonly Stage[] }) =>
  stages.map(({ batch, microBatch }) => [batch, microBatch]);

describe("another batch", () => {
  it("keeps a micro-batch that divides it", () => {
    expect(sizesOf(recipe)).toEqual([
      [4096, 32],
      [4096, 4],
    ]);
    expect(sizesOf(withBatch(recipe, { batch: 64 }))).toEqual([
      [64, 32],
      [64, 4],
    ]);
  });
  it("chooses one where it does not", () => {
    expect(sizesOf(withBatch(recipe, { batch: 6 }))).toEqual([
      [6, 6],
      [6, 3],
    ]);
  });
  it("stays in one piece if it was", () => {
    const whole = defineRecipe(tiny());
    expect(sizesOf(withBatch(whole, { batch: 24 }))).toEqual([
      [24, 24],
      [24, 24],
    ]);
  });
  it("has the micro-batch that was asked for, or none", () => {
    expect(sizesOf(withBatch(recipe, { batch: 64, microBatch: 16 }))).toEqual([
      [64, 16],
      [64, 16],
    ]);
    expect(() => withBatch(recipe, { batch: 64, microBatch: 20 })).toThrow(
      "a micro-batch of 20 does not divide the batch of 64 of stage mim; 16 or 32 would",
    );
    expect(() => withBatch(recipe, { batch: 8, microBatch: 64 })).toThrow("of stage mim; 8 would");
  });
});

it("blocks are computed again where that is asked for", () => {
  const asked = withBatch(recipe, { recompute: true });
  expect(asked.stages.map(({ recompute }) => recompute)).toEqual([true, true]);
  expect(sizesOf(asked)).toEqual(sizesOf(recipe));
  expect(withBatch(recipe, { batch: 8 }).stages.map(({ recompute }) => recompute)).toEqual([undefined, undefined]);
});

describe("auto", () => {
  it("keeps about 1,500 rows of tokens in cache", () => {
    // 2 views × 197 tokens; a quarter of 196 patches and the class token
    expect(autoMicroBatch(resolveStage(recipe, cl), 64e9)).toBe(4);
    expect(autoMicroBatch(resolveStages(recipe)[0]!, 64e9)).toBe(32);
  });
  it("and takes fewer images where memory is small", () => {
    const needs = (microBatch: number) =>
      Object.values(stageWork(resolveStage(recipe, { ...cl, microBatch })).bytes).reduce((a, b) => a + b) / 0.5;
    expect(autoMicroBatch(resolveStage(recipe, cl), 1.01 * needs(4))).toBe(4);
    expect(autoMicroBatch(resolveStage(recipe, cl), 0.99 * needs(4))).toBe(2);
    expect(autoMicroBatch(resolveStage(recipe, cl), 1e9)).toBe(1);
  });
});

it("names the divisors around a number", () => {
  expect(divisorsAround(12, 5)).toEqual([4, 6]);
  expect(divisorsAround(12, 13)).toEqual([12]);
});

it.each([
  [256, 65, 16],
  [1024, 17, 64],
  [1024, 197, 8],
  [992, 17, 62],
  [30, 10, 30],
  [7, 300, 1],
  [4, 5000, 1],
])("a batch of %i images of %i tokens is run by %i", (batch, rows, expected) => {
  expect(microBatchFor(batch, rows)).toBe(expected);
});
