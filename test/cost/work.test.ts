import { describe, expect, it } from "vitest";
import type { VitConfig } from "../../src/nn/vit.ts";
import { method, type Method } from "../../src/methods/methods.ts";
import { defineRecipe, type Stage } from "../../src/recipe/recipe.ts";
import { resolveStage, resolveStages } from "../../src/recipe/stage.ts";
import { imageWork, stageWork } from "../../src/cost/work.ts";

const model: VitConfig = { imageSize: 32, patchSize: 8, width: 96, depth: 6, heads: 3 };
const stage = { epochs: 1, batch: 4, learningRate: 1e-3 };
const [mlpDim, dim] = [64, 32];

function workOf(name: Method, options: { readonly maskRatio?: number } = {}): number {
  const data = { kind: "synthetic" as const };
  const recipe = defineRecipe(
    method(name, { data, model, mim: { ...stage, ...options }, cl: { ...stage, mlpDim, dim } }),
  );
  return imageWork(resolveStages(recipe)[0]!);
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

describe("a stage of the whole", () => {
  const small = (name: Method, changes: Partial<Stage> = {}) => {
    const options = { data: { kind: "synthetic" as const }, model, mim: stage, cl: { ...stage, mlpDim, dim } };
    const recipe = defineRecipe(method(name, options));
    return {
      recipe,
      work: (processes = 1) => stageWork(resolveStage(recipe, { ...recipe.stages.at(-1)!, ...changes }), processes),
    };
  };
  // a block has 12 D² + 13 D numbers: norms 4 D, attention 4 D² + 4 D, MLP 8 D² + 5 D
  const encoder = 6 * (12 * 96 ** 2 + 13 * 96) + 96 + 192 * 96 + 96 + 17 * 96 + 2 * 96;
  const projector = 96 * 64 + 2 * 64 + 64 * 64 + 2 * 64 + 64 * 32;
  const predictor = 32 * 64 + 2 * 64 + 64 * 32;

  it("has the numbers of encoder, decoder and heads", () => {
    const { parameters, bytes } = small("cl").work();
    // not trained: patch projection and positions are frozen, the final norm's bias has no gradient
    const trained = encoder + projector + predictor - (192 * 96 + 96) - 17 * 96 - 96;
    expect(parameters).toEqual({ encoder, decoder: 0, heads: projector + predictor, trained });
    expect([bytes.gradients, bytes.moments]).toEqual([4 * trained, 8 * trained]);
    const statistics = (each: number[]) => each.reduce((sum, width) => sum + 2 * width, 0);
    const buffers = statistics([64, 64, 32]);
    expect(bytes.momentumEncoder).toBe(4 * (encoder + projector + buffers));
    expect(bytes.weights).toBe(4 * (encoder + projector + predictor + buffers + statistics([64, 32])));
    const { parameters: mim } = small("mim").work();
    expect(mim.encoder).toBe(encoder);
    const decoder = 64 + 96 * 64 + 64 + 17 * 64 + 2 * (12 * 64 ** 2 + 13 * 64) + 2 * 64 + 64 * 192 + 192;
    expect(mim).toMatchObject({ decoder, heads: 0, trained: encoder + decoder - 17 * 96 - 17 * 64 });
  });

  it("counts SimMIM's mask token and linear layer as a decoder", () => {
    const recipe = defineRecipe(
      method("mim", {
        data: { kind: "synthetic" },
        model,
        mim: { ...stage, objective: "simmim" },
        cl: { ...stage, mlpDim, dim },
      }),
    );
    const { parameters } = stageWork(resolveStage(recipe, recipe.stages[0]!));
    const decoder = 96 + 96 * 192 + 192;
    expect(parameters).toEqual({ encoder, decoder, heads: 0, trained: encoder + decoder - 17 * 96 });
  });

  it("holds an anchor of the blocks it names", () => {
    const { recipe } = small("layer-grafted");
    const cl = recipe.stages[1]!;
    const objective = { ...cl.objective, l1Anchor: { weight: 1e-5, blocks: 2 } } as Stage["objective"];
    const anchored = stageWork(resolveStage(recipe, { ...cl, objective }));
    expect(anchored.bytes.anchor).toBe(4 * (96 + 192 * 96 + 96 + 2 * (12 * 96 ** 2 + 13 * 96)));
    expect(stageWork(resolveStage(recipe, cl)).bytes.anchor).toBe(0);
  });

  it("in parts encodes twice and keeps the rows of the whole batch", () => {
    const whole = small("cl", { batch: 16, microBatch: 16 }).work();
    const parts = small("cl", { batch: 16, microBatch: 4 }).work();
    const block17 = block(96, 17, 17);
    const forward = 2 * 2 * (16 * 192 * 96 + 5 * block17 + block(96, 17, 1)); // two views
    expect((parts.operations.perImage - whole.operations.perImage) / forward).toBeCloseTo(1, 1);
    expect(parts.operations.perBatch).toBe(whole.operations.perBatch);
    const rows = 16 * 2 * 96 * 4; // of one encoder: images, views, width, bytes
    expect(parts.bytes.encodedRows).toBe(2 * rows + rows); // and the gradient of the queries
    expect(whole.bytes.encodedRows).toBe(0);
    expect(parts.bytes.microBatch).toBeLessThan(whole.bytes.microBatch / 3);
    expect(parts.bytes.wholeLoss).toBeGreaterThan(0);
  });

  it("of several processes shares images and gathers rows, and every process has the loss of all", () => {
    const changes = { batch: 16, microBatch: 4 };
    const [one, four] = [small("cl", changes).work(1), small("cl", changes).work(4)];
    expect(four.operations).toEqual(one.operations);
    expect(four.bytes.views).toBe(3 * 4 * 2 * 3 * 32 * 32 * 4); // one micro-batch in use and two ahead
    expect([one.microBatch, four.microBatch, small("cl", changes).work(8).microBatch]).toEqual([4, 4, 2]);
    expect(four.gathered).toEqual({ bytes: 16 * 2 * 96 * 4 * 2, messages: 2 }); // queries and keys
    expect(four.reduced).toEqual({ bytes: four.bytes.gradients, messages: 1 });
    expect(small("mim", changes).work(4).gathered).toEqual({ bytes: 0, messages: 0 });
    expect(() => small("cl", changes).work(3)).toThrow("cannot be shared by 3 processes");
  });

  it("with lazy lower blocks is the mean of long steps and short ones", () => {
    const [data, every] = [{ kind: "synthetic" as const }, 4];
    const works = (microBatch: number, ranks = 1) =>
      (["usual", "lazy", "frozen"] as const).map((kind) => {
        const graft = { lazy: { lazy: every }, usual: {}, frozen: { fixTo: 4 } }[kind];
        const cl = { ...stage, batch: 16, microBatch, mlpDim, dim };
        const recipe = defineRecipe(method("layer-grafted", { data, model, mim: stage, cl, graft }));
        return stageWork(resolveStages(recipe)[1]!, ranks);
      });
    for (const microBatch of [4, 16]) {
      const [usual, lazy, frozen] = works(microBatch).map(({ operations }) => operations.perImage);
      expect(lazy! / ((usual! + (every - 1) * frozen!) / every)).toBeCloseTo(1, 6);
      const [all, mean, part] = works(microBatch, 2).map(({ reduced }) => reduced.bytes);
      expect(mean).toBe((all! + (every - 1) * part!) / every);
      const [one, both] = works(microBatch);
      expect(both!.parameters).toEqual(one!.parameters);
      expect(both!.bytes.moments).toBe(one!.bytes.moments);
      expect(both!.bytes.microBatch).toBeGreaterThan(one!.bytes.microBatch); // of two graphs
    }
  });

  it("that computes its blocks again keeps less and does more", () => {
    for (const microBatch of [4, 16])
      for (const name of ["mim", "cl"] as const) {
        const changes = { batch: 16, microBatch };
        const [kept, again] = [false, true].map((recompute) => small(name, { ...changes, recompute }).work());
        expect(again!.bytes.microBatch).toBeLessThan(0.7 * kept!.bytes.microBatch);
        expect(again!.operations.perImage).toBeGreaterThan(1.1 * kept!.operations.perImage);
        expect(again!.parameters).toEqual(kept!.parameters);
      }
  });
});
