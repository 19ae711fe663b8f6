import { describe, expect, it } from "vitest";
import { key } from "../../src/tensor/random.ts";
import type { Source } from "../../src/data/source.ts";
import { openSource } from "../../src/data/sources/open.ts";
import { centerCrop } from "../../src/data/augmentation/views.ts";
import { createEncoder, type Encoder, initialParameters } from "../../src/evaluators/encoder.ts";
import { accuracy, type LabelledFeatures, type Splits } from "../../src/evaluators/evaluator.ts";
import { linear } from "../../src/evaluators/linear.ts";
import { augmentedLinearSweep, linearSweep, probeView, type SweepOptions } from "../../src/evaluators/linear-sweep.ts";
import { rateFactor, sweepRecipes } from "../../src/evaluators/sweep-recipe.ts";
import { clusters, featuresOf, labelled } from "./toy.ts";

const splitsOf = (spread: number, count = 90): Splits => ({
  classes: 3,
  train: clusters("sweep train", { count, spread }),
  validation: clusters("sweep validation", { count: 300, spread }),
  test: clusters("sweep test", { count: 300, spread }),
});
const run = async (splits: Splits, options: SweepOptions = {}) =>
  (await linearSweep.run(splits, { threads: 1, ...options }))[0]!;

/** Clusters far from the origin with columns of very different sizes: what batch normalisation is for. */
const stretched = ({ features, labels }: LabelledFeatures): LabelledFeatures => ({
  features: { ...features, rows: features.rows.map((x, i) => (x + 3) * 10 ** (i % features.width)) },
  labels,
});

describe("the recipes are the papers'", () => {
  it("lgp: 35 learning rates, two decays", () => {
    const { learningRates, weightDecays, momentum } = sweepRecipes.lgp;
    expect([learningRates.length, weightDecays, momentum]).toEqual([35, [0, 1e-6], 0]);
    expect([learningRates[0], learningRates[1], learningRates.at(-1)]).toEqual([1e-5, 3e-5, 90]);
  });

  it.each([
    ["lgp", 0, 0.9, 1], // constant within an epoch
    ["lgp", 45, 0.9, 0.5],
    ["mae", 0, 0, 0], // warm-up by the step
    ["mae", 5, 0.5, 0.55],
    ["mae", 10, 0, 1],
    ["mae", 49, 0.999999, 0.5],
    ["mocov3", 60, 0.1, 0.25],
  ] as const)("%s after %d epochs and %d of the next: the rate times %d", (preset, epoch, done, factor) => {
    expect(rateFactor(sweepRecipes[preset], epoch, done)).toBeCloseTo(factor, 5);
  });

  it.each(["lgp", "mocov3"] as const)("%s is as good as the exact solution", async (preset) => {
    const splits = splitsOf(0.35, 300);
    const [exact] = await linear.run(splits, { threads: 1 });
    const score = await run(splits, { preset, batch: 100 });
    expect(exact!.value).toBeGreaterThan(0.8);
    expect(score.value).toBeGreaterThan(exact!.value - 0.02);
    expect(score.validation).toBeGreaterThan(exact!.validation! - 0.02);
  });

  it("mae is as good as the exact solution where columns differ in size", async () => {
    const { classes, train, validation, test } = splitsOf(0.35, 300);
    const splits = {
      classes,
      train: stretched(train),
      validation: stretched(validation),
      test: stretched(test),
    };
    const [exact] = await linear.run(splits, { threads: 1 });
    const score = await run(splits, { preset: "mae", batch: 50, learningRates: [0.1, 1, 10] });
    expect(score.value).toBeGreaterThan(exact!.value - 0.02);
  });
});

it("the same seed gives the same result, bit for bit, another seed another", async () => {
  const splits = splitsOf(0.8);
  const options = { batch: 16, epochs: 3, learningRates: [0.1, 1] };
  const first = await run(splits, { ...options, seed: 1 });
  expect(await run(splits, { ...options, seed: 1 })).toEqual(first);
  expect((await run(splits, { ...options, seed: 2 })).predictions).not.toEqual(first.predictions);
});

it("says which head won after how many epochs, what it predicts, and how far it is", async () => {
  const splits = splitsOf(0.4);
  const progress: string[] = [];
  const { name, value, predictions, chosen, detail } = await run(splits, {
    learningRates: [1e-7, 1],
    weightDecays: [0, 1e6],
    epochs: 4,
    onProgress: (done, total) => progress.push(`${done}/${total}`),
  });
  expect(name).toBe("linear-sweep");
  expect(chosen).toMatchObject({ learningRate: 1, weightDecay: 0 });
  expect([1, 2, 3, 4]).toContain(chosen.epoch);
  expect(detail).toBe(`learning rate 1, weight decay 0, epoch ${chosen.epoch}`);
  expect(value).toBe(accuracy(predictions, splits.test.labels));
  expect(progress).toEqual(["1/4", "2/4", "3/4", "4/4"]);
});

it("chooses by the validation split alone", async () => {
  const train = clusters("sweep choice", { count: 60, spread: 0.1 });
  const shuffled = { ...train, labels: train.labels.map((label) => (label + 1) % 3) };
  const ofSplits = (validation: LabelledFeatures, test: LabelledFeatures) =>
    run({ classes: 3, train, validation, test }, { learningRates: [0.1, 1], epochs: 10 });
  const { value, validation } = await ofSplits(train, shuffled);
  expect([value, validation]).toEqual([0, 1]);
  expect((await ofSplits(train, train)).value).toBe(1);
});

it("keeps the weights of the best epoch, not the last", async () => {
  // Training teaches the wrong classes, so the first weights, hardly moved, are better than all later ones.
  const validation = clusters("sweep best epoch", { count: 90, spread: 0.1 });
  const train = { ...validation, labels: validation.labels.map((label) => (label + 1) % 3) };
  const splits = { classes: 3, train, validation, test: validation };
  const best = await run(splits, { learningRates: [0.05], epochs: 30, schedule: "every epoch" });
  const first = await run(splits, { learningRates: [0.05], epochs: 1 });
  expect(best.chosen.epoch).toBe(1);
  expect(best.predictions).toEqual(first.predictions);
  expect(best.value).toBe(best.validation);
});

describe("warns of a learning rate at the edge of the grid", () => {
  it.each([
    ["highest", "higher", [1e-9, 1e-8, 10]],
    ["lowest", "lower", [0.3, 1e6, 1e7]], // with decay the others diverge
  ])("%s", async (edge, where, learningRates) => {
    const { warning, chosen } = await run(splitsOf(0.8), {
      learningRates,
      weightDecays: [1e-3],
      epochs: 10,
      batch: 10,
    });
    expect(warning).toBe(
      `the best learning rate of the linear sweep, ${chosen.learningRate}, is the ${edge} one tried; a ${where} one may do better`,
    );
  });

  it("but not when one inside does as well, or there is only one", async () => {
    const splits = splitsOf(0.05);
    for (const learningRates of [[0.1, 1, 2], [1]]) {
      const score = await run(splits, { preset: "mocov3", learningRates, epochs: 20 });
      expect(score.validation).toBe(1);
      expect(score.warning).toBeUndefined();
    }
  });

  it("and of a preset's only one, made for ImageNet, on few images", async () => {
    const { warning } = await run(splitsOf(0.1), { preset: "mocov3", epochs: 1 });
    expect(warning).toBe(
      "the learning rate of mocov3, 3, was chosen for ImageNet, not for 90 images; give several learningRates to choose from",
    );
  });
});

it("does not choose a head that diverges, even if it was good before", async () => {
  const train = clusters("sweep wild", { count: 64, spread: 0.1 });
  const splits = { classes: 3, train, validation: train, test: train };
  const [wild, slow] = [24, 1e-6]; // with a decay of 1 and a batch of 64, a step multiplies weights by 1 - 24 / 4
  const early = await run(splits, { learningRates: [wild], weightDecays: [1], epochs: 1 });
  expect(early.validation).toBe(1);
  const late = { weightDecays: [1], epochs: 200 };
  const { chosen, validation } = await run(splits, { ...late, learningRates: [wild, slow] });
  expect(chosen.learningRate).toBe(slow);
  expect(validation).toBeLessThan(1);
  await expect(run(splits, { ...late, learningRates: [wild, 30] })).rejects.toThrow(
    "the outputs of all 2 heads of the linear sweep became infinite or not a number at learning rates from 24 to 30; " +
      "choose lower ones, and check that the features are finite",
  );
});

it("learning rates are for a batch of 256, and a batch is no larger than the training images", async () => {
  const train = clusters("sweep scaling", { count: 64, spread: 0.5 });
  const splits = { classes: 3, train, validation: train, test: train };
  const options = { learningRates: [7], weightDecays: [1], epochs: 200 }; // stable: 7 / 4 < 2
  const whole = await run(splits, { ...options, batch: 64 });
  expect(await run(splits, { ...options, batch: 5000 })).toEqual(whole);
});

it("leaves out other images in every epoch when batches do not come out even", async () => {
  const four = labelled(
    [0, 1, 2, 3].map((i) => [0, 1, 2, 3].map((j) => Number(i === j))),
    [0, 1, 2, 3],
  );
  const splits = { classes: 4, train: four, validation: four, test: four };
  for (const seed of [0, 1, 2]) {
    const { value } = await run(splits, { batch: 3, epochs: 20, learningRates: [30, 100], seed });
    expect(value).toBe(1);
  }
});

it.each<[SweepOptions, string]>([
  [{ preset: "other" as "mae" }, "the linear sweep has no preset other; available: lgp, mae, mocov3"],
  [{ learningRates: [] }, "the linear sweep needs learning rates above 0, but got none"],
  [{ learningRates: [0.1, -1] }, "the linear sweep needs learning rates above 0, but got 0.1, -1"],
  [{ weightDecays: [-1] }, "the linear sweep needs weight decays of 0 or more, but got -1"],
  [{ epochs: 0 }, "epochs of the linear sweep must be a whole number of at least 1, but is 0"],
  [{ batch: 1.5 }, "batch of the linear sweep must be a whole number of at least 1, but is 1.5"],
  [{ preset: "mae", epochs: 5 }, "the linear sweep's warmup must be shorter than its 5 epochs, but is 10"],
])("says what is wrong with %o", async (options, message) => {
  await expect(run(splitsOf(0.1), options)).rejects.toThrow(message);
});

it("says when there is nothing to choose by", async () => {
  const nothing = { ...labelled([[0]], [0]), features: { ...featuresOf([[0]]), count: 0 } };
  await expect(run({ ...splitsOf(0.1), validation: nothing })).rejects.toThrow(
    "the linear sweep learns on training images and chooses on validation images, but there are 90 and 0",
  );
});

describe("on augmented images", () => {
  const model = { imageSize: 16, patchSize: 8, width: 12, depth: 1, heads: 2 };
  const view = centerCrop(16, { resize: 16, interpolation: "bicubic", mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2] });
  const splits = {
    train: Array.from({ length: 70 }, (_, i) => i + 50), // more than are encoded at once
    validation: Array.from({ length: 20 }, (_, i) => i),
    test: Array.from({ length: 30 }, (_, i) => i + 20),
  };
  const options = { threads: 1, epochs: 4, learningRates: [1, 10] };
  const open = () => openSource({ kind: "synthetic", length: 120, size: 16 });
  const encode = () => createEncoder(model, view, initialParameters(model, key(1)), { threads: 1 });

  it("the probe's view crops and flips as the papers do, and normalises and resizes as the encoder does", () => {
    const { mean, std } = view;
    expect(probeView(view)).toMatchObject({
      size: 16,
      scale: [0.08, 1],
      flip: 0.5,
      interpolation: "bicubic",
      mean,
      std,
    });
    expect(probeView(view).jitter).toBeUndefined();
  });

  it("without randomness in the view it is the sweep on frozen features", async () => {
    const source = await open();
    const encoder = await encode();
    const all = await encoder.features(source);
    const part = (rows: number[]): LabelledFeatures => ({
      features: {
        rows: Float32Array.from(rows.flatMap((i) => [...all.rows.subarray(12 * i, 12 * i + 12)])),
        count: rows.length,
        width: 12,
      },
      labels: Int32Array.from(rows, (i) => source.label(i)),
    });
    const frozen = await run(
      {
        classes: source.classes.length,
        train: part(splits.train),
        validation: part(splits.validation),
        test: part(splits.test),
      },
      options,
    );
    const still = { ...probeView(view), scale: [1, 1] as [number, number], ratio: [1, 1] as [number, number], flip: 0 };
    expect(await augmentedLinearSweep({ encoder, source, splits, view: still }, options)).toEqual(frozen);
    await encoder.release();
  });

  it("encodes every training image anew in every epoch, by the seed, and the others once", async () => {
    const source = await open();
    const encoder = await encode();
    const seen: Float32Array[] = [];
    const loads = new Map<number, number>();
    const watched: Pick<Encoder, "model" | "view" | "features" | "encode"> = {
      ...encoder,
      encode: (images) => (seen.push(images.data), encoder.encode(images)),
    };
    const counted: Source = { ...source, load: (i) => (loads.set(i, (loads.get(i) ?? 0) + 1), source.load(i)) };
    const result = await augmentedLinearSweep({ encoder: watched, source: counted, splits }, options);
    expect(seen.length).toBe(4 * 2);
    expect(seen[2]).not.toEqual(seen[0]);
    for (const [part, times] of [["train", 4] as const, ["validation", 1] as const, ["test", 1] as const])
      expect(new Set(splits[part].map((i) => loads.get(i)))).toEqual(new Set([times]));
    expect(result.predictions.length).toBe(30);
    expect(await augmentedLinearSweep({ encoder, source, splits }, options)).toEqual(result);
    await augmentedLinearSweep({ encoder: watched, source, splits }, { ...options, seed: 1 });
    expect(seen[8]).not.toEqual(seen[0]);
    await encoder.release();
  });

  it("leaves out what cannot be read, wherever it is", async () => {
    const source = await open();
    const encoder = await encode();
    const [broken, unread] = [new Set([3, 25, 60]), (rows: number[]) => rows.filter((i) => !broken.has(i))];
    const damaged: Source = {
      ...source,
      load: (i) => (broken.has(i) ? Promise.reject(new Error(`${i} cannot be read`)) : source.load(i)),
    };
    const readable = { train: unread(splits.train), validation: unread(splits.validation), test: unread(splits.test) };
    const expected = await augmentedLinearSweep({ encoder, source, splits: readable }, options);
    expect(await augmentedLinearSweep({ encoder, source: damaged, splits }, options)).toEqual(expected);
    expect(expected.predictions.length).toBe(29);
    await encoder.release();
  });
});
