import { describe, expect, it } from "vitest";
import * as op from "../../../src/graph/ops/index.ts";
import type { Value } from "../../../src/graph/value.ts";
import {
  at,
  checkGrad,
  draw,
  erfSeries,
  expectAllclose,
  floats,
  plainErf,
  randomFor,
  tabulate,
  valueOf,
} from "../../helpers.ts";

const x234 = draw("float32", [2, 3, 4], randomFor("fused"));

describe.each([0, 1, 2, -1, -3])("softmax and logSoftmax on axis %i", (axis) => {
  it("have gradients", async () => {
    await checkGrad((x) => op.softmax(x, axis), ["lmn"]);
    await checkGrad((x) => op.logSoftmax(x, axis), ["lmn"]);
  });
  it("have plain values", async () => {
    const along = (axis + 3) % 3;
    const expected = tabulate(x234.shape, (...index) => {
      let sum = 0;
      for (let i = 0; i < x234.shape[along]!; i++) sum += Math.exp(at(x234, ...index.with(along, i)));
      return Math.exp(at(x234, ...index)) / sum;
    });
    expectAllclose((await valueOf((x) => op.softmax(x, axis), x234)).data, expected);
    expectAllclose((await valueOf((x) => op.logSoftmax(x, axis), x234)).data, expected.map(Math.log));
  });
});

it("softmax does not overflow", async () => {
  const large = floats([1, 3], [1000, 1000, -1000]);
  expect([...(await valueOf((x) => op.softmax(x), large)).data]).toEqual([0.5, 0.5, 0]);
  expectAllclose((await valueOf((x) => op.logSoftmax(x), large)).data, [-Math.LN2, -Math.LN2, -2000 - Math.LN2]);
});

describe("gelu", () => {
  it.each(["", "n", "lmn"])("of shape [%s]", (shape) =>
    checkGrad(op.gelu, [shape], {
      exact: (x) => op.mul(op.mul(x, 0.5), op.add(erfSeries(op.mul(x, Math.SQRT1_2)), 1)),
    }),
  );
  it("has plain values", async () => {
    const expected = Float64Array.from(x234.data, (x) => 0.5 * x * (1 + plainErf(x / Math.SQRT2)));
    expectAllclose((await valueOf(op.gelu, x234)).data, expected);
  });
});

describe("layerNorm", () => {
  const composed = (x: Value, weight: Value, bias: Value) => {
    const centered = op.sub(x, op.reduceMean(x, { axis: -1, keepdims: true }));
    const variance = op.reduceMean(op.mul(centered, centered), { axis: -1, keepdims: true });
    return op.add(op.mul(op.div(centered, op.sqrt(op.add(variance, 1e-6))), weight), bias);
  };
  it.each(["n", "mn", "lmn", "plmn", "15"])("of shape [%s]", (shape) =>
    checkGrad((x, w, b) => op.layerNorm(x, w, b), [shape, shape.at(-1)!, shape.at(-1)!], {
      exact: composed,
      tolerance: 5e-5,
    }),
  );
  it("with the gradient of one of its inputs only", async () => {
    const parameter = (width: number) =>
      op.constant(
        floats(
          [width],
          Array.from({ length: width }, (_, i) => 1 + i / 8),
        ),
      );
    const as = (norm: typeof composed, dtype: Value["dtype"]) => (x: Value) => {
      const w = op.cast(parameter(x.shape.at(-1)!), dtype);
      return norm(x, w, w);
    };
    await checkGrad(
      as((x, w, b) => op.layerNorm(x, w, b), "float32"),
      ["lmn"],
      { exact: as(composed, "float64"), tolerance: 5e-5 },
    );
  });
  it("uses its epsilon", async () => {
    const parameter = floats([2], [1, 1]);
    const y = await valueOf((x, w, b) => op.layerNorm(x, w, b, 0.75), floats([1, 2], [1, 2]), parameter, parameter);
    expectAllclose(y.data, [0.5, 1.5]); // ±0.5 / sqrt(0.25 + 0.75) + 1
  });
});

describe("errors", () => {
  const x = op.input("x", "float32", [2, 3]);
  it("name the shapes", () => {
    expect(() => op.softmax(x, 2)).toThrow(new Error("axis 2 is out of range for a tensor of 2 dimensions"));
    expect(() => op.layerNorm(x, op.input("w", "float32", [3]), op.input("b", "float32", [2]))).toThrow(
      new Error("LayerNormalization: normalises the last axis only: [2,3] needs weight and bias [3], but one is [2]"),
    );
  });
});
