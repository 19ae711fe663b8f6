/** A run whose second stage has lazy lower blocks. */
import { describe, expect, it } from "vitest";
import { lower } from "../../src/optim/groups.ts";
import { listCheckpoints, readCheckpoint } from "../../src/run/checkpoint.ts";
import { estimate } from "../../src/cost/estimate.ts";
import { defineRecipe } from "../../src/recipe/recipe.ts";
import { resolveStages } from "../../src/recipe/stage.ts";
import { finalHashes, resumeHere, timelessMetrics, tiny, trainHere } from "./tiny.ts";

/** The tiny graft, whose CL trains the lower of its two blocks in one step of three. */
function lazy(microBatch = 8) {
  const { stages, ...rest } = tiny();
  const [mim, cl] = stages;
  const rates = [{ match: lower(1), every: 3 }, ...("rates" in cl! ? cl.rates : [])];
  return { ...rest, stages: [mim!, { ...cl!, microBatch, rates }] };
}

describe.each([8, 4])("lazy lower blocks in micro-batches of %i", (microBatch) => {
  // steps 4 and 5 follow a checkpoint and come before step 6, which trains all; 11 is between 9 and 12
  it.each([1, 2, 3, 5, 11])("go on after step %i as in a run that was never stopped, bit for bit", async (last) => {
    const straight = await trainHere(lazy(microBatch));
    const out = await trainHere(
      lazy(microBatch),
      (event) => event.kind === "step" && event.row.stage === "cl" && event.row.step === last,
    );
    const { stage, step, final } = listCheckpoints(out).at(-1)!;
    expect({ stage, step, final }).toEqual({ stage: "cl", step: last, final: false });
    await resumeHere(out);
    expect(finalHashes(out)).toEqual(finalHashes(straight));
    expect(timelessMetrics(out)).toEqual(timelessMetrics(straight));
  });

  it("move in every third step", async () => {
    const recipe = { ...lazy(microBatch), checkpointSteps: 1, keepCheckpoints: 100 };
    const out = await trainHere(recipe);
    const weights = listCheckpoints(out)
      .filter(({ stage }) => stage === "cl")
      .map(({ step, path }) => ({ step, tensors: readCheckpoint(path).tensors }));
    const movedIn = (name: string) =>
      weights.flatMap(({ step, tensors }, i) => {
        const [before, after] = [weights[i - 1]?.tensors.get(name)!.data, tensors.get(name)!.data];
        return before === undefined || Buffer.compare(bytes(before), bytes(after)) === 0 ? [] : [step];
      });
    const all = Array.from({ length: 11 }, (_, i) => i + 2); // the first checkpoint is that of step 1
    expect(movedIn("base_encoder.blocks.0.mlp.fc1.weight")).toEqual([3, 6, 9, 12]);
    expect(movedIn("base_encoder.cls_token")).toEqual([3, 6, 9, 12]);
    expect(movedIn("base_encoder.blocks.1.mlp.fc1.weight")).toEqual(all);
    expect(movedIn("momentum_encoder.blocks.0.mlp.fc1.weight").length).toBeGreaterThan(4); // it follows for longer
  });
});

it("is estimated before it is trained", async () => {
  const { stages } = await estimate(resolveStages(defineRecipe(lazy())));
  const usual = await estimate(resolveStages(defineRecipe(tiny())));
  expect(stages.map(({ trainable }) => trainable)).toEqual(usual.stages.map(({ trainable }) => trainable));
  expect(stages.every(({ secondsPerStep }) => secondsPerStep > 0)).toBe(true);
});

const bytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => Buffer.from(buffer, byteOffset, byteLength);
