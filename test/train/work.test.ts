import { expect, it } from "vitest";
import type { VitConfig } from "../../src/nn/vit.ts";
import { method, type Method } from "../../src/recipes/methods.ts";
import { defineRecipe } from "../../src/train/recipe.ts";
import { imageWork } from "../../src/train/work.ts";

const model: VitConfig = { imageSize: 32, patchSize: 8, width: 96, depth: 6, heads: 3 };
const stage = { epochs: 1, batch: 4, learningRate: 1e-3 };
const [mlpDim, dim] = [64, 32];

function workOf(name: Method, options: { readonly maskRatio?: number } = {}): number {
  const data = { kind: "synthetic" as const };
  const recipe = defineRecipe(
    method(name, { data, model, mim: { ...stage, ...options }, cl: { ...stage, mlpDim, dim } }),
  );
  return imageWork(recipe, recipe.stages[0]!);
}

/** Products of a block forward, per sample: attention's four layers and two products, and the hidden layer. */
const block = (width: number, tokens: number, asked: number) =>
  2 * tokens * width ** 2 + 2 * asked * width ** 2 + 2 * asked * tokens * width + 8 * asked * width ** 2;

it("is a forward pass and twice as much backward, two operations each", () => {
  // 16 patches of 192 numbers, 4 of them seen; a decoder of two blocks of width 64
  const encoder = 4 * 192 * 96 + 6 * block(96, 5, 5);
  const decoder = 5 * 96 * 64 + block(64, 17, 17) + block(64, 17, 12) + 12 * 64 * 192;
  // Nobody asks for the gradient of pixels, so the patch projection has only that of its weights.
  expect(workOf("mim") / (2 * (3 * (encoder + decoder) - 4 * 192 * 96))).toBeCloseTo(1, 2);
});

it("has no backward pass for the key encoder", () => {
  const encoder = 16 * 192 * 96 + 5 * block(96, 17, 17) + block(96, 17, 1);
  const projector = 96 * 64 + 64 * 64 + 64 * 32;
  const predictor = 32 * 64 + 64 * 32;
  const products = 2 * (3 * (encoder + projector + predictor) - 16 * 192 * 96 + encoder + projector);
  expect(workOf("cl") / (2 * products)).toBeCloseTo(1, 2);
});

it("adds up for joint training, and falls with the patches that are seen", () => {
  expect(workOf("mtl") / (workOf("mim") + workOf("cl"))).toBeCloseTo(1, 2);
  expect(workOf("mim", { maskRatio: 0.5 })).toBeGreaterThan(workOf("mim"));
});
