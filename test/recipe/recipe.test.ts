import { describe, expect, it } from "vitest";
import { maeView, noise } from "../../src/data/augmentation/views.ts";
import { lower, type RateRule } from "../../src/optim/groups.ts";
import { defineRecipe, nearestName } from "../../src/recipe/recipe.ts";
import { finishedEarly, rateAt, resolveStages, scheduleAt, stepsOf } from "../../src/recipe/stage.ts";
import { tiny } from "../train/tiny.ts";

/** The tiny graft with more rules in its second stage. */
function withRates(...rules: RateRule[]) {
  const [mim, cl] = tiny().stages;
  return { ...tiny(), stages: [mim!, { ...cl!, rates: [...rules, ...("rates" in cl! ? cl.rates : [])] }] };
}

describe("defineRecipe", () => {
  it("fills in defaults", () => {
    expect(defineRecipe(tiny()).stages[0]!.objective).toMatchObject({ maskRatio: 0.75, normPix: true });
  });

  it("takes lazy blocks from the lowest up, and all of the encoder's", () => {
    for (const match of [lower(1), lower(2), "base_encoder\\.(cls_token|blocks|norm)"])
      expect(defineRecipe(withRates({ match, every: 4 })).stages[1]!.rates[0]).toEqual({ match, every: 4 });
  });

  it.each([
    ["an unknown key", { ...tiny(), sede: 3 }, 'has no option "sede" (did you mean "seed"?)'],
    ["an unknown key of the model", { ...tiny(), model: { ...tiny().model, widht: 3 } }, 'did you mean "width"?'],
    [
      "an unknown key of an objective",
      { ...tiny(), stages: [{ ...tiny().stages[0]!, objective: { kind: "mae", maskRation: 0.5 } }] },
      'did you mean "maskRatio"?',
    ],
    [
      "an unknown key of an optimizer",
      { ...tiny(), stages: [{ ...tiny().stages[0]!, optimizer: { ...tiny().stages[0]!.optimizer, weigthDecay: 0 } }] },
      'stages.0.optimizer has no option "weigthDecay" (did you mean "weightDecay"?)',
    ],
    [
      "an unknown key of a view",
      { ...tiny(), stages: [{ ...tiny().stages[1]!, init: [], views: { view1: { ...maeView(16), flipp: 1 } } }] },
      'stages.0.views.view1 has no option "flipp" (did you mean "flip"?)',
    ],
    ["an unknown key of the data", { ...tiny(), data: { kind: "synthetic", lenght: 8 } }, 'did you mean "length"?'],
    [
      "a view that is missing",
      { ...tiny(), stages: [{ ...tiny().stages[0]!, views: { images: maeView(16) } }] },
      "stages.0.views: mae with this model needs the views images [3,16,16] and noise [4], not images [3,16,16]",
    ],
    [
      "a view of another size",
      { ...tiny(), stages: [{ ...tiny().stages[0]!, views: { images: maeView(16), noise: noise(9) } }] },
      "needs the views images [3,16,16] and noise [4], not images [3,16,16] and noise [9]",
    ],
    [
      "a pattern that is none",
      { ...tiny(), stages: [{ ...tiny().stages[0]!, rates: [{ match: "(", rate: 1 }] }] },
      "stages.0.rates.0.match: is not a regular expression",
    ],
    ["lazy blocks in every step", withRates({ match: lower(1), every: 1 }), "rates.0.every: must be a whole number of"],
    ["in every 2.5th", withRates({ match: lower(1), every: 2.5 }), "must be a whole number of at least 2: trained in"],
    [
      "two kinds of lazy blocks",
      withRates({ match: "cls_token", every: 2 }, { match: "blocks", every: 4 }),
      "stages.1.rates: the rules say every 2 and every 4 steps",
    ],
    [
      "lazy blocks above others",
      withRates({ match: "blocks\\.1", every: 2 }),
      "stages.1.rates: base_encoder.cls_token is trained in every step, but base_encoder.blocks.1.",
    ],
    [
      "blocks that are lazy in part",
      withRates({ match: "cls_token|blocks\\.0\\.attn", every: 2 }),
      "base_encoder.blocks.0.norm1.bias is trained in every step, but base_encoder.blocks.0.attn.qkv.weight, which is no",
    ],
    ["lazy heads", withRates({ match: "", every: 2 }), "stands above the encoder and is trained in every step"],
    ["lazy patches that are frozen", withRates({ match: "patch_embed", every: 2 }), "matches nothing that is trained"],
    ["a micro-batch that does not divide", { ...tiny({ microBatch: 3 }) }, "microBatch must divide batch"],
    [
      "a patch that does not divide",
      { ...tiny(), model: { ...tiny().model, patchSize: 7 } },
      "not a multiple of the patch",
    ],
    [
      "two stages of one name",
      { ...tiny(), stages: [tiny().stages[0]!, tiny().stages[0]!] },
      "two stages are named mim",
    ],
    [
      "a start from a stage that does not exist",
      { ...tiny(), stages: [{ ...tiny().stages[1]!, init: [{ stage: "mum" }] }] },
      "names either an earlier stage or a path",
    ],
    [
      "a warm-up and an annealing that overlap",
      { ...tiny(), stages: [{ ...tiny().stages[0]!, schedule: "constant", anneal: 0.8 }] },
      "warmup and the share that is annealed must fit into epochs",
    ],
    ["a warm-up longer than the stage", { ...tiny({ epochs: 0.25 }) }, "warmup must be shorter than epochs"],
  ])("refuses %s", (_, recipe, message) => {
    expect(() => defineRecipe(recipe)).toThrow(message);
  });
});

it("finds the name that was meant, or none", () => {
  expect(nearestName("epoch", ["epochs", "batch"])).toBe("epochs");
  expect(nearestName("nonsense", ["epochs", "batch"])).toBeUndefined();
});

it("scales the rate by the batch and follows warm-up and cosine", () => {
  const stage = defineRecipe({ ...tiny({ epochs: 10 }) }).stages[0]!;
  expect(rateAt(stage, 0)).toEqual({ rate: 0, progress: 0 });
  expect(rateAt(stage, 0.5).rate).toBeCloseTo((0.01 * 8) / 256);
  expect(rateAt(stage, 10).rate).toBeCloseTo(0);
});

it("keeps a constant rate until it is annealed", () => {
  const [first] = tiny({ epochs: 10 }).stages;
  const stage = defineRecipe({ ...tiny(), stages: [{ ...first, schedule: "constant", minLearningRate: 0.002 }] })
    .stages[0]!;
  const at = (epoch: number) => (rateAt(stage, epoch).rate * 256) / 8;
  expect([0.25, 0.5, 5, 8.9, 9.5, 10].map((epoch) => Number(at(epoch).toFixed(12)))).toEqual([
    0.005, 0.01, 0.01, 0.01, 0.006, 0.002,
  ]);
});

describe("a stage that is finished early", () => {
  const finish = { stage: "mim", from: 30, to: 34, planned: 60 };
  const whole = resolveStages(defineRecipe(tiny({ epochs: 10 })));
  const stages = finishedEarly(whole, finish);
  const at = (step: number) => scheduleAt(stages[0]!, step, 6);

  it("is the last one, and shorter", () => {
    expect(stages.map(({ name }) => name)).toEqual(["mim"]);
    expect(stepsOf(stages[0]!, 6)).toBe(34);
    expect(stepsOf(whole[0]!, 6)).toBe(60);
  });

  it("goes straight from where rate and progress stood to their ends", () => {
    const { rate } = rateAt(whole[0]!, 5);
    expect(rate).toBeGreaterThan(0);
    for (const step of [0, 7, 29, 30]) expect(at(step)).toEqual(scheduleAt(whole[0]!, step, 6));
    for (const [i, share] of [0, 0.25, 0.5, 0.75, 1].entries()) {
      expect(at(30 + i).rate).toBeCloseTo(rate * (1 - share), 12);
      expect(at(30 + i).progress).toBeCloseTo(0.5 + 0.5 * share, 12);
    }
  });
});
