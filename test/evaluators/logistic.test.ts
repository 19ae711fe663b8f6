import { expect, it } from "vitest";
import type { LabelledFeatures } from "../../src/evaluators/evaluator.ts";
import { classify, fitLogistic, type LinearClassifier } from "../../src/evaluators/logistic.ts";
import { linear, standardizer } from "../../src/evaluators/linear.ts";
import { expectAllclose } from "../helpers.ts";
import { clusters, featuresOf } from "./toy.ts";

/** Gradient of mean cross entropy + lambda / 2 ‖W‖² in float64, in plain JavaScript: [dW, db]. */
function gradientOf({ features, labels }: LabelledFeatures, { weight, bias }: LinearClassifier, lambda: number) {
  const { rows, count, width } = features;
  const dWeight = weight.map((w) => lambda * w);
  const dBias = new Float64Array(bias.length);
  for (let i = 0; i < count; i++) {
    const row = rows.subarray(i * width, (i + 1) * width);
    const scores = Array.from(bias, (b, c) => row.reduce((sum, x, j) => sum + x * weight[c * width + j]!, b));
    const highest = Math.max(...scores);
    const total = scores.reduce((sum, score) => sum + Math.exp(score - highest), 0);
    for (const [c, score] of scores.entries()) {
      const error = (Math.exp(score - highest) / total - Number(labels[i] === c)) / count;
      dBias[c]! += error;
      for (let j = 0; j < width; j++) dWeight[c * width + j]! += error * row[j]!;
    }
  }
  return [...dWeight, ...dBias];
}

it.each([
  ["separable", 0.1, 1e-2],
  ["separable, hardly any penalty", 0.1, 1e-4],
  ["overlapping", 0.8, 1e-2],
  ["overlapping, strong penalty", 0.8, 1],
])("reaches the optimum: %s", async (name, spread, lambda) => {
  const data = clusters(name, { count: 60, spread });
  const [classifier] = await fitLogistic(data, [lambda], { classes: 3, tolerance: 1e-5, maxIterations: 500 });
  const largest = Math.max(...gradientOf(data, classifier!, lambda).map(Math.abs));
  expect(largest).toBeLessThan(3e-5); // float32 gradients are a little off
});

it("solves for each penalty in turn, with shrinking weights under a stronger one", async () => {
  const data = clusters("penalties", { count: 45, spread: 0.5 });
  const solutions = await fitLogistic(data, [1, 1e-2], { classes: 3, tolerance: 1e-5 });
  const [alone] = await fitLogistic(data, [1e-2], { classes: 3, tolerance: 1e-5 });
  const norm = ({ weight }: LinearClassifier) => Math.hypot(...weight);
  expect(norm(solutions[0]!)).toBeLessThan(0.5 * norm(solutions[1]!));
  expectAllclose(solutions[1]!.weight, alone!.weight, { absolute: 5e-3 });
});

it("classifies by the highest score", () => {
  const classifier = { weight: Float64Array.of(1, 0, 0, 1, -1, -1), bias: Float64Array.of(0, 0.5, 0) };
  const rows = featuresOf([
    [2, 0],
    [0.2, 0],
    [-3, -4],
  ]);
  expect([...classify(rows, classifier)]).toEqual([0, 1, 2]);
});

it("the linear probe tells clusters apart that noise only blurs", async () => {
  const [train, validation, test] = ["train", "validation", "test"].map((name) =>
    clusters(`probe ${name}`, { count: 60, spread: 0.3 }),
  );
  const [score] = await linear.run({ classes: 3, train: train!, validation: validation!, test: test! });
  expect(score!.value).toBeGreaterThan(0.85);
});

it("the linear probe chooses the penalty on the validation split alone", async () => {
  const train = clusters("choice", { count: 30, spread: 0.3 });
  const shuffled = { ...train, labels: train.labels.map((label) => (label + 1) % 3) };
  const run = async (validation: LabelledFeatures, test: LabelledFeatures) =>
    (await linear.run({ classes: 3, train, validation, test }, { lambdas: [1e-3] }))[0]!;
  const { value, validation } = await run(train, shuffled);
  expect(value).toBeLessThan(0.1);
  expect(validation).toBeGreaterThan(0.9);
  expect((await run(shuffled, train)).value).toBeGreaterThan(0.9);
});

it("standardises by the reference, and keeps a constant column finite", () => {
  const reference = featuresOf([
    [1, 7],
    [3, 7],
  ]);
  const { rows } = standardizer(reference)(
    featuresOf([
      [1, 7],
      [5, 7],
    ]),
  );
  expectAllclose(rows, [-1, 0, 3, 0], { absolute: 1e-5 });
});
