import { describe, expect, it } from "vitest";
import { tensor } from "../../src/tensor/tensor.ts";
import * as op from "../../src/graph/ops/index.ts";
import { Scope } from "../../src/nn/scope.ts";
import { presets } from "../../src/nn/vit.ts";
import { mae, reconstruct, targets } from "../../src/objectives/mae.ts";
import {
  at,
  draw,
  evaluate,
  expectAllclose,
  initialValues,
  inputFor,
  randomFor,
  relativeError,
  tabulate,
  valueOf,
} from "../helpers.ts";
import { maeBatch, maeOptions, model, tinyMae, tinyStep } from "./tiny.ts";

const batch = maeBatch(2);
const fields = { images: inputFor("images", batch["images"]!), noise: inputFor("noise", batch["noise"]!) };
const noise = batch["noise"]!;

/** Patches of a sample in the order of their noise. */
const ranked = (sample: number) =>
  [...Array(16).keys()].toSorted((a, b) => at(noise, sample, a) - at(noise, sample, b));

describe("mask", () => {
  it("of a 14 x 14 grid keeps 49 patches of 196, those with the smallest noise", async () => {
    const config = { ...presets["vit-tiny/16"]!, width: 16, depth: 1, heads: 1 };
    const random = randomFor("mask");
    const values = draw("float32", [2, 196], random, () => random.uniform());
    const images = op.input("images", "float32", [2, 3, 224, 224]);
    const { mask } = reconstruct(new Scope(), config, maeOptions, { images, noise: inputFor("noise", values) });
    const got = (await evaluate({ mask }, { noise: values })).mask;
    expect(got.shape).toEqual([2, 196]);
    for (const sample of [0, 1]) {
      const row = [...values.data.subarray(sample * 196, (sample + 1) * 196)];
      const limit = row.toSorted((a, b) => a - b)[48]!;
      const masked = row.map((x) => (x > limit ? 1 : 0));
      expect(masked.filter((x) => x === 0)).toHaveLength(49);
      expect([...got.data.subarray(sample * 196, (sample + 1) * 196)]).toEqual(masked);
    }
  });
  it("must leave some patches and hide some", () => {
    const encode = (maskRatio: number) => mae(model, { ...maeOptions, maskRatio }).encode(new Scope(), fields, {});
    expect(() => encode(0)).toThrow(new Error("hiding 0 of 16 patches leaves 16; some must be seen and some hidden"));
    expect(() => encode(0.99)).toThrow(
      new Error("hiding 0.99 of 16 patches leaves 0; some must be seen and some hidden"),
    );
  });
});

describe("targets", () => {
  const images = batch["images"]!;
  const pixels = tabulate([2, 16, 48], (b, l, d) => {
    const [row, column, channel] = [Math.floor(d / 12), Math.floor(d / 3) % 4, d % 3];
    return at(images, b, channel, 4 * (l >> 2) + row, 4 * (l & 3) + column);
  });
  it("are pixels by row, column, channel", async () => {
    expect([...(await valueOf((x) => targets(x, 4, false), images)).data]).toEqual([...pixels]);
  });
  it("are normalised per patch with the unbiased variance", async () => {
    const expected = pixels.slice();
    for (let start = 0; start < expected.length; start += 48) {
      const patch = expected.subarray(start, start + 48);
      const mean = patch.reduce((a, b) => a + b) / 48;
      const variance = patch.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 47;
      for (const [i, x] of patch.entries()) patch[i] = (x - mean) / Math.sqrt(variance + 1e-6);
    }
    expectAllclose((await valueOf((x) => targets(x, 4, true), images)).data, expected, {
      absolute: 2e-4,
      relative: 1e-4,
    });
  });
});

describe("encode", () => {
  const p = new Scope();
  const encoded = tinyMae.encode(p, fields, {});
  const { loss } = tinyMae.loss(p, encoded, {});
  const values = initialValues(p);
  const run = (images = batch["images"]!) =>
    evaluate({ prediction: encoded["prediction"]!, target: encoded["target"]!, loss }, { ...values, noise, images });
  /** The images with other pixels in the patches of one rank in each sample. */
  const changed = (rank: number) => {
    const { shape, data } = batch["images"]!;
    const patch = [0, 1].map((sample) => ranked(sample)[rank]!);
    const other = tabulate(shape, (b, c, row, column) => {
      const inside = 4 * (row >> 2) + (column >> 2) === patch[b];
      return at(batch["images"]!, b, c, row, column) * (inside ? -0.5 : 1) + (inside ? column % 3 : 0);
    });
    return tensor("float32", shape, Float32Array.from(other.length === data.length ? other : []));
  };

  it("does not see the patches that are hidden", async () => {
    const before = await run();
    const after = await run(changed(4)); // ranks 0 to 3 are seen
    expect(after.prediction.data).toEqual(before.prediction.data);
    expect(relativeError(after.target.data, before.target.data)).toBeGreaterThan(0.01);
  });
  it("sees the others", async () => {
    const [before, after] = [await run(), await run(changed(3))];
    expect(relativeError(after.prediction.data, before.prediction.data)).toBeGreaterThan(1e-3);
    expect(after.target.data).toEqual(before.target.data);
  });
  it("predicts what `reconstruct` shows, and the loss is the mean over hidden patches", async () => {
    const shown = reconstruct(p, model, maeOptions, fields);
    const wanted = targets(fields.images, 4, true);
    const got = await evaluate({ ...shown, wanted }, { ...values, ...batch });
    const { prediction, loss: mean } = await run();
    const expected = tabulate([2, 12, 48], (b, r, d) => at(got.prediction, b, ranked(b)[4 + r]!, d));
    expectAllclose(prediction.data, expected, { absolute: 1e-5 });
    let [sum, masked] = [0, 0];
    tabulate([2, 16], (b, l) => {
      if (at(got.mask, b, l) === 0) return 0;
      masked++;
      for (let d = 0; d < 48; d++) sum += (at(got.prediction, b, l, d) - at(got.wanted, b, l, d)) ** 2 / 48;
      return 0;
    });
    expect(masked).toBe(24);
    expectAllclose(mean.data, [sum / masked], { relative: 1e-4 });
  });
});

it("micro-batches have the gradient of the whole batch", async () => {
  const eight = maeBatch(8);
  const gradients = async (microBatch: number) => {
    const step = await tinyStep(tinyMae, 8, { microBatch });
    const result = await step.gradients(eight);
    await step.release();
    return result;
  };
  const [parts, whole] = [await gradients(2), await gradients(8)];
  expect(Math.abs(parts.loss / whole.loss - 1)).toBeLessThan(1e-5);
  expect([...parts.gradients.keys()]).toEqual([...whole.gradients.keys()]);
  for (const [name, { data }] of whole.gradients)
    expect(relativeError(parts.gradients.get(name)!.data, data), name).toBeLessThan(1e-5);
});
