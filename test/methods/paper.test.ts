/** The constants are written out here a second time, from the paper's code and those it builds on: see docs/paper-runs.md. */
import { expect, it } from "vitest";
import { treatment } from "../../src/optim/groups.ts";
import { rateAt, stepsOf } from "../../src/recipe/stage.ts";
import { paper, paperEvaluations, paperMethod, paperRecipes } from "../../src/methods/paper.ts";
import { defineRecipe, type Recipe, type Stage } from "../../src/recipe/recipe.ts";
import { resolveSettings } from "../../src/measure/finetune-settings.ts";
import { recipeOf } from "../../src/evaluators/sweep-recipe.ts";

const make = (name: string, parent?: string): Recipe =>
  defineRecipe(paper(name, { data: { kind: "synthetic" }, ...(parent === undefined ? {} : { parent }) }));

const normalised = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const crop = { kind: "augment", size: 224, ratio: [3 / 4, 4 / 3], flip: 0.5, ...normalised };
const mocoCrop = {
  ...crop,
  scale: [0.08, 1],
  interpolation: "bilinear",
  jitter: { probability: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 },
  grayscale: 0.2,
};
const mae = {
  name: "mim",
  objective: { kind: "mae", decoderWidth: 512, decoderDepth: 8, decoderHeads: 16, maskRatio: 0.75, normPix: true },
  views: {
    images: { ...crop, scale: [0.2, 1], interpolation: "bicubic" },
    noise: { kind: "noise", length: 196 },
  },
  epochs: 1600,
  warmup: 40,
  batch: 4096,
  learningRate: 1.5e-4,
  minLearningRate: 0,
  schedule: "cosine",
  optimizer: { kind: "adamw", betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.05 },
  init: [],
  rates: [],
};
const moco = {
  name: "cl",
  objective: { kind: "mocov3", mlpDim: 4096, dim: 256, temperature: 0.2, momentum: 0.99 },
  views: {
    view1: { ...mocoCrop, blur: { probability: 1, sigma: [0.1, 2] } },
    view2: {
      ...mocoCrop,
      blur: { probability: 0.1, sigma: [0.1, 2] },
      solarize: { probability: 0.2, threshold: 128 },
    },
  },
  epochs: 300,
  warmup: 40,
  batch: 4096,
  learningRate: 1.5e-4,
  minLearningRate: 0,
  schedule: "cosine",
  optimizer: { kind: "adamw", betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.1 },
};
const base = { imageSize: 224, patchSize: 16, width: 768, depth: 12, heads: 12 };
const large = { imageSize: 224, patchSize: 16, width: 1024, depth: 24, heads: 16 };

/** What does not change the result, or has assertions of its own. */
function constantsOf({ microBatch, monitors, anneal, ...stage }: Stage) {
  expect(anneal).toBe(0.1); // of a constant rate, which none of them has
  expect(monitors).toHaveLength(1);
  expect(stage.batch % microBatch).toBe(0);
  return stage;
}

it("MAE, ViT-B", () => {
  const { model, stages } = make("paper/mae-vit-base");
  expect(model).toEqual(base);
  expect(stages.map(constantsOf)).toEqual([mae]);
});

it("MoCo v3, ViT-B", () => {
  const { model, stages } = make("paper/mocov3-vit-base");
  expect(model).toEqual(base);
  expect(stages.map(constantsOf)).toEqual([{ ...moco, rates: [{ match: "patch_embed\\.", frozen: true }], init: [] }]);
});

it.each([
  ["paper/graft-vit-base", base, 4096, undefined],
  ["paper/graft-vit-large", large, 2080, { weight: 1e-5, blocks: 12 }],
] as const)("%s", (name, model, batch, l1Anchor) => {
  const recipe = make(name);
  const [first, second] = recipe.stages as [Stage, Stage];
  expect(recipe.model).toEqual(model);
  expect(recipe.evaluationView).toMatchObject({ size: 224, resize: 256, interpolation: "bilinear", ...normalised });
  expect(constantsOf(first)).toEqual(mae);
  const { rates, ...rest } = constantsOf(second);
  const objective = { ...moco.objective, ...(l1Anchor === undefined ? {} : { l1Anchor }) };
  expect(rest).toEqual({ ...moco, objective, batch, init: [{ stage: "mim", match: "" }] });

  // --lr_layer_wise 1.5e-5,1.5e-5,1.5e-4 with --lr 1: groups of a third of the blocks
  const third = model.depth / 3;
  const { rate } = rateAt(second, 40);
  const peak = (parameter: string) => (rate * treatment(rates, parameter).rate * 256) / batch;
  const block = (i: number) => `base_encoder.blocks.${i}.mlp.fc1.weight`;
  expect(peak("base_encoder.cls_token")).toBeCloseTo(1.5e-5, 12);
  expect([0, 2 * third - 1].map((i) => peak(block(i)))).toEqual([
    expect.closeTo(1.5e-5, 12),
    expect.closeTo(1.5e-5, 12),
  ]);
  expect([2 * third, model.depth - 1].map((i) => peak(block(i)))).toEqual(
    [1.5e-4, 1.5e-4].map((x) => expect.closeTo(x, 12)),
  );
  for (const each of ["base_encoder.norm.weight", "base_encoder.head.0.weight", "predictor.0.weight"])
    expect(peak(each)).toBeCloseTo(1.5e-4, 12);
  // --stop-grad-conv1, and everything else learns
  expect(treatment(rates, "base_encoder.patch_embed.proj.weight").frozen).toBe(true);
  expect(treatment(rates, block(0)).frozen).toBe(false);
});

it("ImageNet's steps and learning rates are the paper's", () => {
  const [mim, cl] = make("paper/graft-vit-base").stages as [Stage, Stage];
  const vitLarge = make("paper/graft-vit-large").stages[1]!;
  expect(stepsOf(cl, Math.floor(1281167 / 4096))).toBe(300 * 312);
  expect(stepsOf(vitLarge, Math.floor(1281167 / 2080))).toBe(300 * 615);
  for (const stage of [mim, cl]) {
    expect(rateAt(stage, 0).rate).toBe(0);
    expect(rateAt(stage, 20).rate).toBeCloseTo(1.2e-3, 10);
    expect(rateAt(stage, 40).rate).toBeCloseTo(2.4e-3, 10);
  }
  expect(rateAt(cl, 170).rate).toBeCloseTo(1.2e-3, 10);
  expect(rateAt(vitLarge, 40).rate).toBeCloseTo(1.21875e-3, 10);
});

it("an encoder may take the place of the first of two stages", () => {
  const { stages } = make("paper/graft-vit-base", "mae.safetensors");
  expect(stages.map(({ name }) => name)).toEqual(["cl"]);
  expect(stages[0]!.init).toEqual([{ path: "mae.safetensors", match: "" }]);
  expect(() => make("paper/mae-vit-base", "mae.safetensors")).toThrow("no parent can take the place");
  expect(Object.keys(paperRecipes).map(paperMethod)).toEqual(["mim", "cl", "layer-grafted", "layer-grafted"]);
  expect(() => make("paper/graft-vit-huge")).toThrow("available: paper/mae-vit-base, paper/mocov3-vit-base");
});

it("linear and one per cent", () => {
  const { preset, augmented } = paperEvaluations["paper/linear"]["linear-sweep"];
  expect(augmented).toBe(true);
  const { learningRates, weightDecays, ...rest } = recipeOf({ preset });
  expect(learningRates).toHaveLength(35);
  expect([Math.min(...learningRates), Math.max(...learningRates)]).toEqual([1e-5, 90]);
  expect(weightDecays).toEqual([0, 1e-6]);
  expect(rest).toMatchObject({ optimizer: "sgd", momentum: 0, epochs: 90, batch: 4096, warmup: 0, batchNorm: false });
  expect(paperEvaluations["paper/1-percent"]).toEqual({ "few-shot": { shots: ["1%"], preparation: "paper" } });
});

const common = {
  minLearningRate: 1e-6,
  weightDecay: 0.05,
  betas: [0.9, 0.999],
  smoothing: 0.1,
  mixup: 0.8,
  cutmix: 1,
  probability: 1,
  switch: 0.5,
  augmentation: "strong",
  pooling: "cls",
};
const whole = { ...common, learningRate: 5e-4, batch: 1024, tuneFromFirstFC: false, evaluateEvery: 1 };
const tenth = { ...common, learningRate: 3e-5, tuneFromFirstFC: true, evaluateEvery: 10, dropPath: 0.1, labels: "10%" };
it.each([
  ["paper/fine-tune-vit-base", { ...whole, epochs: 100, layerDecay: 0.6, dropPath: 0.1 }],
  ["paper/fine-tune-vit-large", { ...whole, epochs: 50, layerDecay: 0.8, dropPath: 0.2 }],
  ["paper/10-percent-vit-base", { ...tenth, epochs: 200, layerDecay: 0.75, batch: 1022 }],
  ["paper/10-percent-vit-large", { ...tenth, epochs: 400, layerDecay: 0.65, batch: 1024 }],
] as const)("%s", (name, wanted) => {
  const { labels, ...settings } = { labels: undefined, ...paperEvaluations[name]["fine-tune"] };
  const { preset: _, ...resolved } = resolveSettings(settings);
  expect({ ...resolved, ...(labels === undefined ? {} : { labels }) }).toEqual(wanted);
});
