import { describe, expect, it } from "vitest";
import { accuracy } from "../../src/evaluators/evaluator.ts";
import { knn, leaveOneOut } from "../../src/evaluators/knn.ts";
import { featuresBy, reference } from "./reference.ts";
import { clusters, labelled } from "./toy.ts";

it("recognises clusters", async () => {
  const part = (name: string) => clusters(`knn ${name}`, { count: 60 });
  const splits = { classes: 3, train: part("train"), validation: part("validation"), test: part("test") };
  expect((await knn.run(splits))[0]!.value).toBeGreaterThan(0.9);
});

// Around direction 0° stand one mislabelled image and, a little further, two of the right class: k = 1 is wrong, k = 3 right.
const at = (degrees: number) => [Math.cos((degrees / 180) * Math.PI), Math.sin((degrees / 180) * Math.PI)];
const train = labelled([at(0), at(5), at(-5), at(90)], [1, 0, 0, 1]);
const right = labelled([at(0.1)], [0]);
const wrong = labelled([at(0.1)], [1]);

it("chooses k on the validation split", async () => {
  const score = async (validation: typeof right, test: typeof right) =>
    (await knn.run({ classes: 2, train, validation, test }, { ks: [1, 3] }))[0]!;
  expect(await score(right, right)).toMatchObject({ value: 1, validation: 1 }); // k = 3
  expect(await score(wrong, wrong)).toMatchObject({ value: 1, validation: 1 }); // k = 1
  expect(await score(right, wrong)).toMatchObject({ value: 0, validation: 1 }); // what the test split would like is not asked
});

it("chooses the temperature on the validation split too, and says what it chose", async () => {
  const run = async (validation: typeof right) =>
    (await knn.run({ classes: 2, train, validation, test: right }, { ks: [3], temperatures: [1e-4, Infinity] }))[0]!;
  expect(await run(wrong)).toMatchObject({ value: 0, validation: 1, detail: "k = 3, temperature 0.0001" });
  expect(await run(right)).toMatchObject({ value: 1, validation: 1, detail: "k = 3, votes not weighted" });
});

it("refuses a k larger than the labelled images when it is asked for, and leaves it out by default", async () => {
  const splits = { classes: 2, train, validation: right, test: right };
  expect((await knn.run(splits))[0]!.detail).toBe("k = 1, temperature 0.07");
  await expect(knn.run(splits, { ks: [3, 50] })).rejects.toThrow(
    "k-NN cannot ask 50 neighbours of the 4 labelled images; give a whole number from 1 to 4 for k",
  );
  await expect(knn.run(splits, { ks: [0] })).rejects.toThrow("k-NN cannot ask 0 neighbours");
  await expect(knn.run(splits, { temperatures: [0] })).rejects.toThrow("the temperature of k-NN is 0");
  await expect(leaveOneOut(train, { ks: [4] })).rejects.toThrow(
    "k-NN cannot ask 4 neighbours of the 3 other images that one of 4 has; give a whole number from 1 to 3 for k",
  );
  await expect(leaveOneOut(right)).rejects.toThrow("k-NN needs at least one labelled image to compare with");
});

/** Predictions, with those left out that scikit-learn calls ties. */
const untied = (predictions: Int32Array, expected: string) =>
  Array.from(predictions, (c, i) => (expected[i] === "-" ? "-" : String(c))).join("");

describe.each(reference.neighbours)("agrees with scikit-learn, k $k, temperature $temperature", (expected) => {
  const { train, test } = featuresBy(expected);
  const options = { ks: [expected.k], temperatures: [expected.temperature ?? Infinity], threads: 1 };

  it("on a test set", async () => {
    const { classes } = expected;
    const [score] = await knn.run({ classes, train, validation: test, test }, options);
    expect(untied(score!.predictions!, expected.predictions)).toBe(expected.predictions);
    expect(score!.value).toBeCloseTo(expected.accuracy, 5);
  });

  it("leaving one out", async () => {
    const { best, predictions } = await leaveOneOut(train, options);
    expect(untied(predictions, expected.withoutSelf)).toBe(expected.withoutSelf);
    expect(best.value).toBeCloseTo(expected.leaveOneOut, 5);
  });
});

describe("leaving one out", () => {
  it("chooses by the curve, which has every candidate", async () => {
    const data = clusters("leave one out", { count: 60, spread: 0.6 });
    const { curve, best, predictions } = await leaveOneOut(data, { temperatures: [0.07, Infinity], threads: 1 });
    expect(curve.map(({ k }) => k)).toEqual([1, 5, 10, 20, 1, 5, 10, 20]);
    expect(best.value).toBe(Math.max(...curve.map(({ value }) => value)));
    expect(accuracy(predictions, data.labels)).toBe(best.value);
    const [alone] = (await leaveOneOut(data, { ks: [best.k], temperatures: [best.temperature], threads: 1 })).curve;
    expect(alone).toEqual(best);
  });

  it("never asks an image about itself, however many are equal to it", async () => {
    const equal = labelled([at(10), at(10), at(10), at(10), at(10)], [0, 0, 0, 0, 1]);
    const { predictions } = await leaveOneOut(equal, { ks: [1], threads: 1 });
    expect(predictions[4]).toBe(0);
    const { curve } = await leaveOneOut(equal, { ks: [4], temperatures: [Infinity], threads: 1 });
    expect(curve[0]!.value).toBe(0.8);
  });
});
