import { describe, expect, it } from "vitest";
import { treatment } from "../../src/optim/groups.ts";
import { readPlan } from "../../src/run/graft-plan.ts";
import { readSamples } from "../../src/run/samples.ts";
import { describePlan, measurePlan, withPlan } from "../../src/graft/measure.ts";
import { resolveStage } from "../../src/recipe/stage.ts";
import { defineRecipe, type RecipeInput } from "../../src/recipe/recipe.ts";
import { finalHashes, resumeHere, tiny, trainHere } from "../train/tiny.ts";

type Stage = RecipeInput["stages"][number];

/** The tiny graft with its rates left to the plan. */
function planned(): RecipeInput {
  const recipe: RecipeInput = tiny();
  const [mim, cl] = recipe.stages as [Stage, Stage];
  const objective = { kind: "mae" as const, decoderWidth: 16, decoderDepth: 1, decoderHeads: 2 };
  const plan = { mim: { objective, views: mim.views }, warmUpSteps: 3, jointSteps: 3, batches: 4, lowest: 0.1 };
  const rates = [{ match: "patch_embed\\.", frozen: true }];
  return { ...recipe, stages: [mim, { ...cl, rates, plan }] };
}

describe("a planned graft", () => {
  it("gives each block its rate, tells it, and trains to the end", async () => {
    const out = await trainHere(planned());
    const plan = readPlan(out, "cl")!;
    expect(plan.blocks).toHaveLength(2);
    const rates = plan.blocks.map(({ rate }) => rate);
    expect([...rates].sort((a, b) => a - b)).toEqual(rates);
    expect(rates.at(-1)).toBe(1);
    expect(rates[0]).toBeCloseTo(0.1, 12);
    for (const { cosine, negative, movement } of plan.blocks) {
      expect(Math.abs(cosine)).toBeLessThan(1);
      expect(negative * 4).toBe(Math.round(negative * 4));
      expect(movement).toBeGreaterThan(0);
    }
    const shown = readSamples(out).learningRates!.stages[1]!.layers;
    const block = (i: number) => shown.find(({ layer }) => layer === `block ${i}`)!.rate;
    expect(block(0) / block(1)).toBeCloseTo(rates[0]!, 6);
    expect(describePlan(plan)).toContain("learning rates of the blocks in cl, input side first: 0.1, 1");
  });

  it("is the same each time, and when the run was stopped in between", async () => {
    const whole = await trainHere(planned());
    const stopped = await trainHere(planned(), (event) => event.kind === "step" && event.row.stage === "cl");
    expect(Object.keys(finalHashes(stopped))).toHaveLength(1);
    await resumeHere(stopped);
    expect(finalHashes(stopped)).toEqual(finalHashes(whole));
    expect(readPlan(stopped, "cl")).toEqual(readPlan(whole, "cl"));
  });

  it("starts from a decoder where there is one, and needs none", async () => {
    const out = await trainHere(planned());
    const recipe = defineRecipe(planned());
    const stage = recipe.stages[1]!;
    const encoderOnly = { ...stage, init: [{ stage: "mim", match: "^(cls_token|patch_embed|blocks|norm)" }] };
    const [first, again] = [
      await measurePlan(out, resolveStage(recipe, stage)),
      await measurePlan(out, resolveStage(recipe, encoderOnly)),
    ];
    expect(first).toEqual(readPlan(out, "cl"));
    expect(again).toEqual(first); // the file has a decoder, whatever the encoder's pattern
  });
});

it("rules that were there go before those of the plan", () => {
  const recipe = defineRecipe(planned());
  const block = { cosine: 0, deviation: 0, negative: 0, movement: 0, conflict: 0 };
  const plan = {
    stage: "cl",
    trend: true,
    lowest: 0.1,
    warmUpSteps: 1,
    jointSteps: 1,
    batches: 1,
    blocks: [
      { ...block, rate: 0.2 },
      { ...block, rate: 0.7 },
    ],
  };
  const { rates } = withPlan(recipe.stages[1]!, plan);
  expect(treatment(rates, "base_encoder.patch_embed.proj.weight").frozen).toBe(true);
  expect(treatment(rates, "base_encoder.cls_token").rate).toBe(0.2);
  expect(treatment(rates, "base_encoder.blocks.1.norm1.bias").rate).toBe(0.7);
  expect(treatment(rates, "base_encoder.norm.weight").rate).toBe(1);
});

it("a plan needs an encoder to plan on", () => {
  const recipe = planned();
  const alone = { ...recipe.stages[1]!, init: [] };
  expect(() => defineRecipe({ ...recipe, stages: [alone] })).toThrow("give init");
});
