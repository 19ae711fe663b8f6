import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { key } from "../../src/tensor/random.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import type { VitConfig } from "../../src/nn/vit.ts";
import { classify, drawDropPath } from "../../src/objectives/classify.ts";
import { fineTuneRules } from "../../src/measure/finetune-settings.ts";
import { trace } from "../../src/step/graphs.ts";
import { cpu } from "../../src/backend/cpu.ts";
import { createStep, type Step } from "../../src/step/step.ts";
import { draw, floats, randomFor, relativeError } from "../helpers.ts";
import { model, pictures, snapshot, tinyStep } from "./tiny.ts";

// Three steps of PyTorch (reference/make_finetune_reference.py).
const fixture = JSON.parse(readFileSync("test/fixtures/finetune.json", "utf8")) as {
  model: VitConfig;
  batch: number;
  classes: number;
  rate: number;
  layerDecay: number;
  weightDecay: number;
  dropPath: number;
  cases: {
    pooling: "cls" | "mean";
    firstLayer: number | null;
    losses: number[];
    weights: Record<string, number[]>;
  }[];
};

describe("three steps of fine-tuning", () => {
  type Case = (typeof fixture.cases)[number];
  const { batch, classes, rate, dropPath, model } = fixture;

  /** Element i is ((multiplier · i + offset) % 101 - 50) / divisor. */
  const pattern = (shape: readonly number[], multiplier: number, offset: number, divisor: number) =>
    floats(
      shape,
      Array.from({ length: sizeOf(shape) }, (_, i) => (((multiplier * i + offset) % 101) - 50) / divisor),
    );
  const batchOf = (step: number): Record<string, Tensor<"float32">> => {
    const weights = Array.from({ length: batch * classes }, (_, i) => ((5 * i + step) % 7) + 1);
    const sumOf = (row: number) => weights.slice(row * classes, (row + 1) * classes).reduce((a, b) => a + b);
    const factor = (_: unknown, i: number) =>
      i % 4 < 2 ? 1 : (i + step) % 3 === 0 ? 0 : Math.fround(1 / (1 - dropPath));
    return {
      images: pattern([batch, 3, 4, 4], 37, 53 * step, 32),
      targets: floats(
        [batch, classes],
        weights.map((weight, i) => weight / sumOf(Math.floor(i / classes))),
      ),
      dropPath: floats([batch, 4], Array.from({ length: batch * 4 }, factor)),
    };
  };

  const run = async ({ pooling, firstLayer }: Case, { layerDecay = fixture.layerDecay, microBatch = batch } = {}) => {
    const options = { classes, pooling, dropPath, ...(firstLayer === null ? {} : { firstLayer }) };
    const step = await createStep(classify(model, options), {
      batch,
      microBatch,
      rules: fineTuneRules(model.depth, { layerDecay }),
      optimizer: { betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: fixture.weightDecay },
      key: key(0),
      backend: cpu({ threads: 1 }),
    });
    const names = [...step.state.variables.keys()].filter((name) => name !== "pos_embed").sort();
    const values = names.map((name, n) => {
      const shape = step.state.variables.get(name)!.shape;
      const value = pattern(shape, 37, 29 * n, 128);
      if (name.includes("norm") && name.endsWith("weight"))
        value.data.forEach((x, i) => void (value.data[i] = 1 + x / 2));
      return [name, value] as const;
    });
    await step.state.write(new Map(values));
    const losses: number[] = [];
    for (const i of [0, 1, 2]) losses.push((await step.run(batchOf(i), { number: i + 1, rate, progress: 0 })).loss);
    const weights = await snapshot(step);
    await step.release();
    return { losses, weights };
  };
  const worst = ({ losses, weights }: Awaited<ReturnType<typeof run>>, expected: Case) => ({
    loss: Math.max(...losses.map((loss, i) => Math.abs(loss - expected.losses[i]!))),
    weight: Math.max(
      ...Object.entries(expected.weights).map(([name, values]) => relativeError(weights.get(name)!, values)),
    ),
  });

  it.each(fixture.cases)("agree with PyTorch: pooling $pooling, first layer $firstLayer", async (expected) => {
    for (const microBatch of [4, 2]) {
      const error = worst(await run(expected, { microBatch }), expected);
      expect(error.loss).toBeLessThan(1e-5);
      expect(error.weight).toBeLessThan(1e-4);
    }
  });
  it("have every tensor of the first case compared", async () => {
    const { weights } = await run(fixture.cases[0]!);
    const own = [...weights.keys()].filter((name) => !/^optimizer\.|^pos_embed$/.test(name));
    expect(Object.keys(fixture.cases[0]!.weights).sort()).toEqual(own.sort());
  });
  it("differ where the layers' rates do", async () => {
    const { weight } = worst(await run(fixture.cases[0]!, { layerDecay: 0.65 }), fixture.cases[0]!);
    expect(weight).toBeGreaterThan(1e-3);
  });
});

describe("the head", () => {
  const shapes = (options: Partial<Parameters<typeof classify>[1]>) => {
    const { scope } = trace(classify(model, { classes: 3, pooling: "cls", dropPath: 0, ...options }), 2);
    const own = [...scope.variables.values()].filter(({ name }) => /^(head|norm|fc_norm)\./.test(name));
    return Object.fromEntries(own.map(({ name, shape }) => [name, shape]));
  };
  it("is a linear layer on the class token, under timm's names", () => {
    expect(shapes({})).toEqual({
      "norm.weight": [32],
      "norm.bias": [32],
      "head.weight": [3, 32],
      "head.bias": [3],
    });
  });
  it("on the mean of the patches has a norm of its own instead of the encoder's", () => {
    expect(shapes({ pooling: "mean" })).toEqual({
      "fc_norm.weight": [32],
      "fc_norm.bias": [32],
      "head.weight": [3, 32],
      "head.bias": [3],
    });
  });
  it("keeps the first layer of a projector, which has no bias", () => {
    expect(shapes({ firstLayer: 5 })).toMatchObject({
      "head.0.weight": [5, 32],
      "head.1.weight": [3, 5],
      "head.1.bias": [3],
    });
  });
});

describe("training", () => {
  const batch = {
    images: pictures(12),
    targets: floats(
      [12, 3],
      Array.from({ length: 36 }, (_, i) => Number(i % 3 === Math.floor(i / 3) % 3)),
    ),
    dropPath: drawDropPath(randomFor("drop path"), 12, model.depth, 0.2),
  };
  const train = async (step: Step) => {
    const losses: number[] = [];
    let accuracy = 0;
    for (let number = 1; number <= 40; number++) {
      const result = await step.run(batch, { number, rate: 2e-3, progress: 0 });
      losses.push(result.loss);
      accuracy = result.metrics["accuracy"]!;
    }
    await step.release();
    return { losses, accuracy };
  };
  it.each([
    ["cls", 0],
    ["mean", 0.2],
  ] as const)("learns a batch by heart: pooling %s, drop path %f", async (pooling, dropPath) => {
    const step = await tinyStep(classify(model, { classes: 3, pooling, dropPath }), 12);
    const { losses, accuracy } = await train(step);
    expect(losses[0]).toBeCloseTo(Math.log(3), 3); // the classifier starts at almost zero
    expect(losses.at(-1)).toBeLessThan(0.1);
    expect(accuracy).toBe(1);
  });
  it("spends nothing on what is frozen", async () => {
    const trained = async (freezeBelow: number) => {
      const rules = fineTuneRules(model.depth, { layerDecay: 0.6, freezeBelow });
      const step = await tinyStep(classify(model, { classes: 3, pooling: "cls", dropPath: 0 }), 12, { rules });
      await step.release();
      const { variables, trained } = step.state;
      return [...variables.keys()].filter((name) => trained.has(name));
    };
    expect((await trained(0)).filter((name) => /cls_token|embed/.test(name))).toEqual([]);
    expect(await trained(0)).toContain("blocks.0.norm1.weight");
    expect((await trained(1)).every((name) => /^(blocks\.1|norm|head)\./.test(name))).toBe(true);
    expect(await trained(2)).toEqual(["norm.bias", "norm.weight", "head.weight", "head.bias"]);
  });
});

describe("drop path", () => {
  it("keeps the expected value: 0 with the branch's probability, else 1 over the rest", () => {
    const [batch, depth, rate] = [4000, 3, 0.4];
    const { data, shape } = drawDropPath(randomFor("drop path"), batch, depth, rate);
    expect(shape).toEqual([batch, 6]);
    for (const branch of [0, 1, 2, 3, 4, 5]) {
      const probability = (rate * Math.floor(branch / 2)) / 2;
      const column = Array.from({ length: batch }, (_, i) => data[i * 6 + branch]!);
      expect(new Set(column)).toEqual(new Set(probability === 0 ? [1] : [0, Math.fround(1 / (1 - probability))]));
      const dropped = column.filter((factor) => factor === 0).length / batch;
      expect(Math.abs(dropped - probability)).toBeLessThan(0.03);
    }
  });
  it("of a single block drops nothing", () => {
    expect([...drawDropPath(randomFor("one block"), 5, 1, 0.9).data]).toEqual(Array.from({ length: 10 }, () => 1));
  });
  it("of all branches leaves the embeddings", async () => {
    const objective = classify(model, { classes: 3, pooling: "cls", dropPath: 0.5 });
    const step = await tinyStep(objective, 2);
    const targets = floats([2, 3], [1, 0, 0, 1, 0, 0]);
    const images = draw("float32", [2, 3, 16, 16], randomFor("two images"));
    const { gradients } = await step.gradients({ images, targets, dropPath: tensor("float32", [2, 4]) });
    for (const [name, { data }] of gradients) {
      const used = /^(cls_token|norm|head)/.test(name); // patches reach the class token through attention only
      expect(
        data.some((x) => x !== 0),
        name,
      ).toBe(used);
    }
    await step.release();
  });
});
