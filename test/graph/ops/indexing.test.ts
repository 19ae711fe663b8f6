import { describe, expect, it } from "vitest";
import { grad } from "../../../src/graph/grad.ts";
import * as op from "../../../src/graph/ops/index.ts";
import type { Value } from "../../../src/graph/value.ts";
import { at, checkGrad, draw, evaluate, floats, integers, randomFor, tabulate, valueOf } from "../../helpers.ts";

const x234 = draw("float32", [2, 3, 4], randomFor("indexing"));
const pick = (shape: readonly number[], ...numbers: number[]) => op.constant(integers(shape, numbers));

describe("gather", () => {
  it.each([0, 1, 2, -1, -2, -3])("on axis %i, with repeated indices of any shape", async (axis) => {
    const along = (axis + 3) % 3;
    for (const indices of [integers([3], [1, 0, 1]), integers([2, 2], [0, 1, 1, 1]), integers([], [1])]) {
      await checkGrad((x) => op.gather(x, op.constant(indices), axis), ["lmn"]);
      const y = await valueOf((x) => op.gather(x, op.constant(indices), axis), x234);
      const rank = indices.shape.length;
      expect(y.shape).toEqual([...x234.shape.slice(0, along), ...indices.shape, ...x234.shape.slice(along + 1)]);
      const expected = tabulate(y.shape, (...index) => {
        const chosen = at(indices, ...index.slice(along, along + rank));
        return at(x234, ...index.slice(0, along), chosen, ...index.slice(along + rank));
      });
      expect([...y.data]).toEqual([...expected]);
    }
  });
});

describe("takeRows", () => {
  const indices = integers([2, 4], [2, 0, 0, 1, 1, 1, 1, 0]);

  it.each(["23", "234", "2342"])("of [%s]", (shape) => checkGrad((x) => op.takeRows(x, op.constant(indices)), [shape]));
  it("takes rows of each sample by itself", async () => {
    const y = await valueOf((x) => op.takeRows(x, op.constant(indices)), x234);
    expect(y.shape).toEqual([2, 4, 4]);
    expect([...y.data]).toEqual([...tabulate(y.shape, (b, k, d) => at(x234, b, at(indices, b, k), d))]);
  });
  it("differs from one sample to the next although the batch has size 1", () =>
    checkGrad((x) => op.takeRows(x, pick([1, 2], 1, 1)), ["1mn"]));
});

describe("oneHot", () => {
  it("has one 1 a row", async () => {
    const { y } = await evaluate({ y: op.oneHot(pick([2, 2], 0, 2, 1, 3), 3) });
    expect(y).toMatchObject({ dtype: "float32", shape: [2, 2, 3] });
    expect([...y.data]).toEqual([1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0]);
  });
});

describe("argsort and topK", () => {
  it("sort ascending and keep the order of equal elements", async () => {
    const y = await valueOf(op.argsort, floats([2, 5], [3, 1, 2, 1, 0, 1, 1, 1, 1, 1]));
    expect(y).toMatchObject({ dtype: "int64", shape: [2, 5] });
    expect(Array.from(y.data, Number)).toEqual([4, 1, 3, 2, 0, 0, 1, 2, 3, 4]);
  });
  it("keep the order of equal elements in long rows", async () => {
    const row = Float32Array.from({ length: 500 }, (_, i) => i % 3);
    const expected = Array.from(row.keys()).sort((a, b) => row[a]! - row[b]! || a - b);
    expect(Array.from((await valueOf(op.argsort, floats([1, 500], row))).data, Number)).toEqual(expected);
  });
  it("gives the largest and where they are", async () => {
    const { values, indices } = op.topK(op.input("x", "float32", [2, 4]), 2);
    const got = await evaluate({ values, indices }, { x: floats([2, 4], [1, 4, 3, 2, 5, 6, 7, 8]) });
    expect([...got.values.data]).toEqual([4, 3, 8, 7]);
    expect(Array.from(got.indices.data, Number)).toEqual([1, 2, 3, 2]);
  });
  it("inverts a permutation", async () => {
    const order = integers([2, 4], [2, 0, 3, 1, 0, 1, 2, 3]);
    const inverse = await valueOf(op.invertPermutation, order);
    expect(Array.from(inverse.data, Number)).toEqual([1, 3, 0, 2, 0, 1, 2, 3]);
  });
  it("stop gradients", () => {
    const x = op.input("x", "float32", [2, 4]);
    expect(grad(op.reduceSum(op.cast(op.argsort(x), "float32")), [x])).toEqual([undefined]);
    expect(grad(op.reduceSum(op.topK(x, 2).values), [x])).toEqual([undefined]);
  });
});

describe("errors", () => {
  const x = op.input("x", "float32", [2, 3]);
  it.each<[string, () => Value, string]>([
    ["gather's indices", () => op.gather(x, x), "Gather: indices must be int64, but are float32"],
    ["takeRows' indices", () => op.takeRows(x, x), "GatherND: indices must be int64, but are float32"],
    [
      "takeRows' samples",
      () => op.takeRows(x, pick([3, 1], 0, 0, 0)),
      "GatherND: needs [B,L,...] and indices [B,K], but got [2,3] and [3,1]",
    ],
    [
      "takeRows' axes",
      () => op.takeRows(x, pick([2], 0, 0)),
      "GatherND: needs [B,L,...] and indices [B,K], but got [2,3] and [2]",
    ],
    ["gather's axis", () => op.gather(x, pick([1], 0), 2), "axis 2 is out of range for a tensor of 2 dimensions"],
    ["topK", () => op.topK(x, 4).values, "TopK: cannot take 4 of the last axis of [2,3]"],
  ])("name the shapes: %s", (_, f, message) => {
    expect(f).toThrow(new Error(message));
  });
});
