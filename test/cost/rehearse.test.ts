import { expect, it } from "vitest";
import { defineRecipe } from "../../src/recipe/recipe.ts";
import { rehearse, rehearseHere } from "../../src/cost/rehearse.ts";
import { tiny } from "../train/tiny.ts";

const recipe = defineRecipe(tiny({ learningRate: 0.1 }));

it("takes real steps: the first changes the loss of the second, the same at every time", async () => {
  for (const stage of ["mim", "cl"]) {
    const here = await rehearseHere(recipe, { stage, steps: 3 });
    const still = { ...recipe, stages: recipe.stages.map((each) => ({ ...each, learningRate: 1e-30 })) };
    const without = await rehearseHere(still, { stage, steps: 3 });
    expect(here.losses.every(Number.isFinite)).toBe(true);
    expect(here.losses[0]).toBe(without.losses[0]);
    expect(here.losses[1]).not.toBe(without.losses[1]);
    const apart = await rehearse(recipe, { stage, steps: 3 });
    expect(apart.losses).toEqual(here.losses);
    expect([apart.seconds.length, apart.batch, apart.microBatch]).toEqual([3, 8, 8]);
    expect(apart.mostBytes).toBeGreaterThan(2 ** 25);
  }
});

it("counts the memory of the rehearsal, not of who asked for it", async () => {
  const own = Buffer.alloc(2 ** 30, 1);
  const { mostBytes } = await rehearse(recipe, { stage: "mim", steps: 1 });
  expect(mostBytes).toBeLessThan(own.length);
});

it("times the loss of more images than a step has", async () => {
  const { lossSeconds, losses } = await rehearseHere(recipe, { stage: "cl", steps: 1, lossOf: 32 });
  expect(lossSeconds).toBeGreaterThan(0);
  expect(losses).toHaveLength(1);
});

it("tells what went wrong in the other process", async () => {
  const heads = { ...recipe, model: { ...recipe.model, heads: 3 } };
  await expect(rehearse(heads, { stage: "mim", steps: 1 })).rejects.toThrow(
    "is not a multiple of the number of heads 3",
  );
});

it("tells which stages there are", async () => {
  await expect(rehearse(recipe, { stage: "graft", steps: 1 })).rejects.toThrow(
    "has no stage graft; its stages are mim, cl",
  );
});
