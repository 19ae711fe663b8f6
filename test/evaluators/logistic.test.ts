import { expect, it } from "vitest";
import { accuracy, type Features, type LabelledFeatures } from "../../src/evaluators/evaluator.ts";
import { centredUnitRows } from "../../src/evaluators/few-shot.ts";
import { classify, dualityGap, fitLogistic, type LinearClassifier } from "../../src/evaluators/logistic.ts";
import { linear, standardizer } from "../../src/evaluators/linear.ts";
import { expectAllclose, randomFor } from "../helpers.ts";
import { featuresBy, reference } from "./reference.ts";
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
  const [classifier] = await fitLogistic(data, [lambda], { classes: 3, stop: { gradient: 1e-5 }, maxIterations: 500 });
  const largest = Math.max(...gradientOf(data, classifier!, lambda).map(Math.abs));
  expect(largest).toBeLessThan(1.001e-5);
});

it("reaches the optimum of fewer rows than columns, repeated ones and empty ones among them", async () => {
  const [count, width, lambda] = [9, 40, 1e-3];
  const random = randomFor("wide");
  const rows = Float32Array.from({ length: count * width }, () => random.normal());
  rows.copyWithin(width, 0, width); // the second row is the first one
  rows.fill(0, 2 * width, 3 * width);
  const data = { features: { rows, count, width }, labels: Int32Array.from([0, 0, 0, 0, 1, 1, 1, 2, 2]) };
  for (const intercept of [true, false]) {
    const stop = { gradient: 1e-8 };
    const [found] = await fitLogistic(data, [lambda], { classes: 3, intercept, stop, maxIterations: 1000 });
    expect(found!.weight).toHaveLength(3 * width);
    const gradient = gradientOf(data, found!, lambda).slice(0, intercept ? undefined : 3 * width);
    expect(Math.max(...gradient.map(Math.abs))).toBeLessThan(2e-8);
  }
  const nothing = { ...data, features: { rows: new Float32Array(count * width), count, width } };
  const [flat] = await fitLogistic(nothing, [lambda], { classes: 3 });
  expect(Math.max(...flat!.weight.map(Math.abs))).toBe(0);
});

it("solves for each penalty in turn, with shrinking weights under a stronger one", async () => {
  const data = clusters("penalties", { count: 45, spread: 0.5 });
  const solutions = await fitLogistic(data, [1, 1e-2], { classes: 3, stop: { gradient: 1e-5 } });
  const [alone] = await fitLogistic(data, [1e-2], { classes: 3, stop: { gradient: 1e-5 } });
  const norm = ({ weight }: LinearClassifier) => Math.hypot(...weight);
  expect(norm(solutions[0]!)).toBeLessThan(0.5 * norm(solutions[1]!));
  expectAllclose(solutions[1]!.weight, alone!.weight, { absolute: 5e-3 });
});

it.each(reference.logistic)(
  "agrees with scikit-learn: $preparation features, lambda $lambda, intercept $intercept",
  async ({ preparation, intercept, lambda, classes, ...expected }) => {
    const sets = featuresBy({ classes, ...expected });
    const prepare = preparation === "paper" ? centredUnitRows : (features: Features) => features;
    const [train, test] = [sets.train, sets.test].map((set) => ({ ...set, features: prepare(set.features) }));
    const stop = intercept ? { gradient: 1e-8 } : { gap: 1e-9 };
    const [found] = await fitLogistic(train!, [lambda], { classes, intercept, stop, maxIterations: 1000, threads: 1 });
    expect(found!.converged).toBe(true);
    expect(Math.abs(found!.objective / expected.objective - 1)).toBeLessThan(1e-6);
    expectAllclose(found!.weight.subarray(0, 4), expected.weights, { absolute: 2e-3 });
    expect(accuracy(classify(test!.features, found!), test!.labels)).toBeCloseTo(expected.accuracy, 5);
  },
);

/** The primal and the dual objective at W, the latter at softmax - onehot, each written out from its definition. */
function objectives({ features, labels }: LabelledFeatures, weight: Float64Array, classes: number, lambda: number) {
  const { rows, count, width } = features;
  let [losses, conjugates] = [0, 0];
  const moments = new Float64Array(classes * width); // Xᵀα
  for (let i = 0; i < count; i++) {
    const row = Array.from(rows.subarray(i * width, (i + 1) * width));
    const scores = Array.from({ length: classes }, (_, c) =>
      row.reduce((sum, x, j) => sum + x * weight[c * width + j]!, 0),
    );
    const total = scores.reduce((sum, score) => sum + Math.exp(score), 0);
    losses += Math.log(total) - scores[labels[i]!]!;
    for (const [c, score] of scores.entries()) {
      const probability = Math.exp(score) / total;
      conjugates += probability * Math.log(probability); // ℓ*(p - onehot): the negative entropy of p
      const alpha = probability - Number(labels[i] === c);
      for (let j = 0; j < width; j++) moments[c * width + j]! += alpha * row[j]!;
    }
  }
  const squares = (array: Float64Array) => array.reduce((sum, each) => sum + each ** 2, 0);
  return {
    primal: losses / count + (lambda / 2) * squares(weight),
    dual: -conjugates / count - squares(moments) / (2 * lambda * count ** 2),
    gradient: moments.map((moment, k) => moment / count + lambda * weight[k]!),
  };
}

it("the duality gap is the primal objective minus the dual one, at any point", () => {
  const data = clusters("dual", { count: 20, spread: 0.5 });
  const random = randomFor("dual point");
  for (const lambda of [1e-3, 1]) {
    const weight = Float64Array.from({ length: 15 }, () => random.normal());
    const { primal, dual, gradient } = objectives(data, weight, 3, lambda);
    expect(dualityGap(gradient, lambda) / (primal - dual)).toBeCloseTo(1, 10);
  }
});

it("stops by the duality gap, and says when it could not", async () => {
  const data = clusters("gap", { count: 30, spread: 0.4 });
  const fit = async (gap: number, maxIterations: number) =>
    (await fitLogistic(data, [1e-4], { classes: 3, intercept: false, stop: { gap }, maxIterations, threads: 1 }))[0]!;
  const [rough, fine, stopped] = [await fit(0.3, 500), await fit(1e-6, 500), await fit(1e-6, 3)];
  for (const { objective, gap } of [rough, fine, stopped])
    expect(objective).toBeLessThanOrEqual(fine.objective * (1 + gap!));
  expect(rough).toMatchObject({ converged: true });
  expect(rough.gap).toBeGreaterThan(1e-6);
  expect(rough.iterations).toBeLessThan(fine.iterations);
  const { primal, dual } = objectives(data, fine.weight, 3, 1e-4);
  expect(primal).toBeCloseTo(fine.objective, 6);
  expect((primal - dual) / primal).toBeLessThan(1.1e-6);
  expect(stopped).toMatchObject({ converged: false, iterations: 3 });
  await expect(fitLogistic(data, [1], { classes: 3, stop: { gap: 1 } })).rejects.toThrow(
    "the duality gap is known without an intercept only",
  );
});

it("copes with features that all point the same way, and with one that is always zero", async () => {
  const { features, labels } = clusters("alike", { count: 60, spread: 0.3 });
  const rows = Array.from({ length: 60 }, (_, i) => [100, ...features.rows.subarray(5 * i, 5 * i + 5), 0]);
  const alike = centredUnitRows(featuresOf(rows));
  const [found] = await fitLogistic({ features: alike, labels }, [0.00025 / 60], {
    classes: 3,
    intercept: false,
    stop: { gap: 1e-3 },
    maxIterations: 300,
    threads: 1,
  });
  expect(found!.converged).toBe(true);
  expect(accuracy(classify(alike, found!), labels)).toBeGreaterThan(0.9);
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
  const { value, validation, predictions } = await run(train, shuffled);
  expect(accuracy(predictions!, shuffled.labels)).toBe(value);
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
