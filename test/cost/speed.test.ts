import { expect, it } from "vitest";
import { defineRecipe } from "../../src/recipe/recipe.ts";
import { resolveStages } from "../../src/recipe/stage.ts";
import { operationsPerSecond } from "../../src/cost/speed.ts";
import { stageWork, stepOperations } from "../../src/cost/work.ts";
import { tiny } from "../train/tiny.ts";

it("times all stages of a recipe in another process", async () => {
  const speed = await operationsPerSecond(defineRecipe(tiny({})));
  expect(speed).toBeGreaterThan(1e5);
  expect(speed).toBeLessThan(1e14);
});

it("counts a step as its images and the loss over them", () => {
  for (const stage of resolveStages(defineRecipe(tiny({})))) {
    const { perImage, perBatch } = stageWork(stage).operations;
    expect(stepOperations(stage)).toBe(stage.batch * perImage + perBatch);
  }
});
