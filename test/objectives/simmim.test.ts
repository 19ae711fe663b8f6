import { describe, expect, it } from "vitest";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import * as op from "../../src/graph/ops/index.ts";
import { Scope } from "../../src/nn/scope.ts";
import { encode, patches } from "../../src/nn/vit.ts";
import { simmim } from "../../src/objectives/simmim.ts";
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
} from "../helpers.ts";
import { maeBatch, model, simmimOptions, tinySimmim, tinyStep } from "./tiny.ts";

const images = maeBatch(2)["images"]!;
const random = randomFor("simmim");
const noiseOf = (squares: number) => draw("float32", [2, squares], random, () => random.uniform());

describe.each([
  { maskUnit: 1, maskRatio: 0.6, hidden: 10 },
  { maskUnit: 2, maskRatio: 0.6, hidden: 12 }, // 3 of 4 squares
  { maskUnit: 2, maskRatio: 0.5, hidden: 8 },
])("squares of $maskUnit patches, ratio $maskRatio", ({ maskUnit, maskRatio, hidden }) => {
  const across = 4 / maskUnit;
  const noise = noiseOf(across ** 2);
  const squareOf = (patch: number) =>
    Math.floor(Math.floor(patch / 4) / maskUnit) * across + Math.floor((patch % 4) / maskUnit);
  /** Squares of a sample with falling noise: the first ones are hidden. */
  const ranked = (sample: number) =>
    [...Array(across ** 2).keys()].toSorted((a, b) => at(noise, sample, b) - at(noise, sample, a));
  const mask = tabulate([2, 16, 1], (b, l) => Number(ranked(b).indexOf(squareOf(l)) < hidden / maskUnit ** 2));

  const p = new Scope();
  const objective = simmim(model, { maskUnit, maskRatio });
  const fields = { images: inputFor("images", images), noise: inputFor("noise", noise) };
  const encoded = objective.encode(p, fields, {});
  const { loss } = objective.loss(p, encoded, {});
  const values = initialValues(p);
  const run = (pixels: Tensor = images) =>
    evaluate(
      { prediction: encoded["prediction"]!, target: encoded["target"]!, loss },
      { ...values, noise, images: pixels },
    );

  it("is the mean distance to the pixels of the squares with the largest noise", async () => {
    const q = new Scope();
    const pixels = patches(fields.images, 4);
    const token = op.input("mask_token", "float32", [1, 1, 32]);
    const given = { mask: op.constant(tensor("bool", [2, 16, 1], Uint8Array.from(mask))), token };
    const tokens = encode(q, model, pixels, { lineage: "mae", hidden: given });
    const { "decoder.weight": weight, "decoder.bias": bias, ...others } = values;
    const got = await evaluate({ tokens, pixels }, { ...others, images });
    let [sum, count] = [0, 0];
    tabulate([2, 16, 48], (b, l, d) => {
      if (mask[16 * b + l] === 0) return 0;
      let prediction = at(bias!, d);
      for (let i = 0; i < 32; i++) prediction += at(got.tokens, b, l + 1, i) * at(weight!, d, i);
      sum += Math.abs(prediction - at(got.pixels, b, l, d));
      count++;
      return 0;
    });
    expect(count).toBe(2 * hidden * 48);
    const { prediction, loss: mean } = await run();
    expect(prediction.shape).toEqual([2, hidden, 48]);
    expectAllclose(mean.data, [sum / count]);
  });
  /** The images with other pixels in one patch of the square of one rank in each sample. */
  const changed = (rank: number) =>
    tensor(
      "float32",
      images.shape,
      Float32Array.from(
        tabulate(images.shape, (b, c, row, column) => {
          const inside = squareOf(4 * (row >> 2) + (column >> 2)) === ranked(b)[rank];
          return at(images, b, c, row, column) * (inside ? -0.5 : 1) + (inside ? column % 3 : 0);
        }),
      ),
    );
  it("does not see what is hidden, and predicts it", async () => {
    const [before, after] = [await run(), await run(changed(hidden / maskUnit ** 2 - 1))];
    expect(after.prediction.data).toEqual(before.prediction.data);
    expect(relativeError(after.target.data, before.target.data)).toBeGreaterThan(0.01);
  });
  it("sees the others", async () => {
    const [before, after] = [await run(), await run(changed(hidden / maskUnit ** 2))];
    expect(relativeError(after.prediction.data, before.prediction.data)).toBeGreaterThan(1e-4);
    expect(after.target.data).toEqual(before.target.data);
  });
});

describe("masks that cannot be", () => {
  it("must leave some squares and hide some", () => {
    const encodeWith = (maskRatio: number) =>
      simmim(model, { maskUnit: 2, maskRatio }).encode(
        new Scope(),
        { images: inputFor("images", images), noise: inputFor("noise", noiseOf(4)) },
        {},
      );
    expect(() => encodeWith(0)).toThrow(new Error("hiding 0 of 4 squares leaves 4; some must be seen and some hidden"));
    expect(() => encodeWith(0.9)).toThrow(
      new Error("hiding 0.9 of 4 squares leaves 0; some must be seen and some hidden"),
    );
  });
  it("must tile the grid", () => {
    expect(() => simmim(model, { ...simmimOptions, maskUnit: 3 })).toThrow(
      new Error("a mask unit of 3 patches does not divide the 4 patches of a row; choose a divisor"),
    );
  });
});

it("an encoder under a prefix is the same encoder", async () => {
  const batch = maeBatch(4);
  const [bare, prefixed] = [
    await tinyStep(tinySimmim, 4),
    await tinyStep(simmim(model, simmimOptions, "base_encoder."), 4),
  ];
  const own = ["mask_token", "decoder.weight", "decoder.bias"];
  const nameOf = (name: string) => (own.includes(name) ? name : `base_encoder.${name}`);
  const names = [...bare.state.variables.keys()];
  expect(own.every((name) => names.includes(name))).toBe(true);
  expect([...prefixed.state.variables.keys()].sort()).toEqual(names.map(nameOf).sort());
  const values = [...(await bare.state.read())].map(([name, value]) => [nameOf(name), value] as const);
  await prefixed.state.write(new Map(values));
  const [one, other] = [await bare.gradients(batch), await prefixed.gradients(batch)];
  expect(other.loss).toBe(one.loss);
  for (const [name, { data }] of one.gradients) expect(other.gradients.get(nameOf(name))!.data, name).toEqual(data);
  await Promise.all([bare.release(), prefixed.release()]);
});

it("micro-batches have the gradient of the whole batch", async () => {
  const eight = maeBatch(8);
  const gradients = async (microBatch: number) => {
    const step = await tinyStep(tinySimmim, 8, { microBatch });
    const result = await step.gradients(eight);
    await step.release();
    return result;
  };
  const [parts, whole] = [await gradients(2), await gradients(8)];
  expect(Math.abs(parts.loss / whole.loss - 1)).toBeLessThan(1e-5);
  for (const [name, { data }] of whole.gradients)
    expect(relativeError(parts.gradients.get(name)!.data, data), name).toBeLessThan(1e-5);
});
