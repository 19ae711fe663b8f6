import { expect, it } from "vitest";
import { chooseDevice } from "../../src/cost/choose-device.ts";
import { defineRecipe } from "../../src/recipe/recipe.ts";
import { adapter } from "../backend/adapter.ts";
import { tiny } from "../train/tiny.ts";

const recipe = defineRecipe(tiny());
const gpu = { name: "a GPU", isSoftware: false };

it.each([
  ["without an adapter", { reason: "there is none" }],
  ["with one that computes on the processor", { name: "SwiftShader Device (Subzero)", isSoftware: true }],
])("takes the processor %s, and times nothing", async (_, found) => {
  expect(await chooseDevice(recipe, found)).toEqual({ device: "cpu", adapter: found, seconds: {} });
});

it.skipIf(await adapter())("takes the processor when the steps on the GPU fail", async () => {
  const { device, seconds, failure } = await chooseDevice(recipe, gpu);
  expect([device, Object.keys(seconds)]).toEqual(["cpu", ["cpu"]]);
  expect(failure).toMatch(/^the device webgpu cannot be used here, but cpu can: /);
});

it.skipIf(!(await adapter()))("times the run on both and takes the faster one", { timeout: 120_000 }, async () => {
  const { device, seconds } = await chooseDevice(recipe, gpu);
  expect(seconds.cpu).toBeGreaterThan(0);
  expect(seconds.webgpu).toBeGreaterThan(0);
  expect(device).toBe(seconds.webgpu! < seconds.cpu! ? "webgpu" : "cpu");
});
