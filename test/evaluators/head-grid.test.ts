import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { accuracy, type LabelledFeatures } from "../../src/evaluators/evaluator.ts";
import { createHeadGrid, type HeadGrid, type HeadGridOptions } from "../../src/evaluators/head-grid.ts";
import { classify, type LinearClassifier } from "../../src/evaluators/logistic.ts";
import { expectAllclose, tabulate } from "../helpers.ts";
import { clusters, labelled } from "./toy.ts";

/** `reference/make_probe_reference.py`: each head of a case was trained by itself, by PyTorch in float64. */
interface Fixture {
  readonly batch: number;
  readonly width: number;
  readonly classes: number;
  readonly steps: number;
  readonly cases: readonly {
    readonly name: string;
    readonly optimizer: "sgd" | "lars";
    readonly momentum: number;
    readonly batchNorm: boolean;
    readonly zero?: boolean;
    readonly heads: readonly (readonly [rate: number, decay: number])[];
    /** [heads, width + 1 rows, classes] */
    readonly logits: readonly (readonly number[])[];
  }[];
}
const { batch, width, classes, steps, cases } = JSON.parse(
  readFileSync(new URL("../../../test/fixtures/probe.json", import.meta.url), "utf8"),
) as Fixture;

const featuresOf = (step: number) =>
  tabulate([batch, width], (i, j) => (((7 * i + 3 * j * j + 5 * step + i * j) % 17) - 6) / 8);
const batches = Array.from({ length: steps }, (_, step): LabelledFeatures => ({
  features: { rows: Float32Array.from(featuresOf(step)), count: batch, width },
  labels: Int32Array.from({ length: batch }, (_, i) => (i * i + step) % classes),
}));
const weight = Float32Array.from(tabulate([classes, width], (c, j) => (((5 * c + 3 * j + 1) % 7) - 3) / 16));
const setting = { width, classes, batch, threads: 1 };

async function trained(options: HeadGridOptions): Promise<HeadGrid> {
  const grid = await createHeadGrid(options);
  for (const [step, each] of batches.entries()) await grid.step(each, 1 - step / 16);
  return grid;
}

function logitsOf({ weight: w, bias }: LinearClassifier, x: ArrayLike<number>, rows: number): Float64Array {
  return tabulate([rows, classes], (i, c) =>
    Array.from({ length: width }, (_, j) => x[i * width + j]! * w[c * width + j]!).reduce((a, b) => a + b, bias[c]!),
  );
}

describe.each(cases)("$name", ({ heads: pairs, logits, zero = false, optimizer, momentum, batchNorm }) => {
  const heads = pairs.map(([learningRate, weightDecay]) => ({ learningRate, weightDecay }));
  const first = zero ? new Float32Array(classes * width) : weight;
  const options = { ...setting, optimizer, momentum, batchNorm, weight: first };

  it("is PyTorch's, head by head", async () => {
    const grid = await trained({ ...options, heads });
    for (const [i, expected] of logits.entries()) {
      const largest = Math.max(...expected.map(Math.abs), 1);
      const got = logitsOf(await grid.classifier(i), featuresOf(0), width + 1);
      expectAllclose(got, expected, { absolute: 1e-5 * largest, relative: 0 }, `head ${i}`);
    }
    await grid.release();
  });

  it("does to a head in the grid what it does to one alone", async () => {
    const together = await trained({ ...options, heads });
    for (const [i, head] of heads.entries()) {
      const alone = await trained({ ...options, heads: [head] });
      for (const part of ["weight", "bias"] as const)
        expectAllclose(
          (await together.classifier(i))[part],
          (await alone.classifier(0))[part],
          { absolute: 1e-5 },
          `${part} of ${i}`,
        );
      await alone.release();
    }
    await together.release();
  });
});

const sgd = { ...setting, optimizer: "sgd", momentum: 0.9, weight } as const;
const lars = { ...sgd, optimizer: "lars" } as const;

it("LARS takes a weight without a gradient as it is", async () => {
  const black = labelled(
    Array.from({ length: batch }, () => Array.from({ length: width }, () => 0)),
    Array.from({ length: batch }, (_, i) => Number(i === 0)),
  );
  const grid = await createHeadGrid({ ...lars, batchNorm: false, heads: [{ learningRate: 1, weightDecay: 0 }] });
  await grid.step(black, 1);
  const { weight: after, bias } = await grid.classifier(0);
  await grid.release();
  expectAllclose(after, weight);
  expect(bias[0]).toBeGreaterThan(0.3); // the bias learns all the same
});

it("a head that diverges leaves the others alone, and has no accuracy", async () => {
  const [low, wild, high] = [0.1, 1e38, 0.3].map((learningRate) => ({ learningRate, weightDecay: 0.01 }));
  const options = { ...sgd, batchNorm: true };
  const [disturbed, calm] = [
    await trained({ ...options, heads: [low!, wild!, high!] }),
    await trained({ ...options, heads: [low!, high!] }),
  ];
  const accuracies = await disturbed.accuracies(batches[0]!);
  expect(accuracies[1]).toBeNaN();
  for (const [i, other] of [[0, 0] as const, [2, 1] as const]) {
    expectAllclose((await disturbed.classifier(i)).weight, (await calm.classifier(other)).weight, { absolute: 1e-5 });
    expect(accuracies[i]).toBeGreaterThan(0);
  }
  await Promise.all([disturbed.release(), calm.release()]);
});

it.each([true, false])("counts the right answers of any number of rows, batch normalisation %s", async (batchNorm) => {
  const heads = [0, 0.03, 0.3].map((learningRate) => ({ learningRate, weightDecay: 0 }));
  const grid = await trained({ ...sgd, batchNorm, heads });
  for (const count of [1, 256, 300]) {
    const examples = clusters("judged", { count, width, spread: 0.5 });
    const expected: number[] = [];
    for (const i of heads.keys())
      expected.push(accuracy(classify(examples.features, await grid.classifier(i)), examples.labels));
    expectAllclose(await grid.accuracies(examples), expected);
  }
  await grid.release();
});
