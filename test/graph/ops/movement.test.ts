import { describe, expect, it } from "vitest";
import { grad } from "../../../src/graph/grad.ts";
import * as op from "../../../src/graph/ops/index.ts";
import { print, type Value } from "../../../src/graph/value.ts";
import { at, checkGrad, draw, randomFor, tabulate, valueOf } from "../../helpers.ts";

const x234 = draw("float32", [2, 3, 4], randomFor("movement"));

describe("reshape", () => {
  it.each([[[4, 6]], [[24]], [[1, 2, 1, 12]], [[-1]], [[3, -1]], [[2, 3, 4]]])("of [2,3,4] to %j", async (shape) => {
    await checkGrad((x) => op.mul(op.reshape(x, shape), op.reshape(x, shape)), ["234"], { rounds: 1 });
    const y = await valueOf((x) => op.reshape(x, shape), x234);
    expect(y.shape.reduce((a, b) => a * b)).toBe(24);
    expect(y.data).toEqual(x234.data);
  });
  it("to and from a scalar", () => checkGrad((x) => op.exp(op.reshape(op.exp(op.reshape(x, [])), [1, 1])), ["1"]));
  it("folds a chain into one node", () => {
    const x = op.input("x", "float32", [2, 6]);
    expect(op.reshape(op.reshape(x, [12]), [3, 4]).inputs[0]).toBe(x);
    expect(op.reshape(op.reshape(x, [12]), [2, 6])).toBe(x);
  });
});

describe("transpose", () => {
  it.each([[[0, 1, 2]], [[2, 1, 0]], [[1, 2, 0]], [[2, 0, 1]], [[-1, 0, -2]]])("to the order %j", async (order) => {
    await checkGrad((x) => op.transpose(x, order), ["lmn"]);
    const axes = order.map((axis) => (axis + 3) % 3);
    const y = await valueOf((x) => op.transpose(x, order), x234);
    expect(y.shape).toEqual(axes.map((axis) => x234.shape[axis]));
    const expected = tabulate(y.shape, (...index) => at(x234, ...[0, 1, 2].map((axis) => index[axes.indexOf(axis)]!)));
    expect([...y.data]).toEqual([...expected]);
  });
});

describe("expand", () => {
  it.each([
    ["n", [2, 5]],
    ["1n", [3, 5]],
    ["m1", [4, 5]],
    ["", [2, 3]],
    ["1m1", [2, 3, 4, 5]],
    ["mn", [4, 5]],
  ])("[%s] to %j", async (pattern, shape) => {
    const sized = pattern.replace("m", "4").replace("n", "5");
    await checkGrad((x) => op.expand(x, shape), [sized]);
  });
  it("repeats", async () => {
    const row = draw("float32", [1, 3], randomFor("expand"));
    const y = await valueOf((x) => op.expand(x, [2, 2, 3]), row);
    expect([...y.data]).toEqual([...tabulate([2, 2, 3], (...index) => at(row, ...index))]);
  });
});

describe("slice", () => {
  it.each([
    [0, 0, 1],
    [0, 1, 2],
    [1, 0, 2],
    [1, 1, 2],
    [2, 1, 3],
    [2, 0, 4],
    [-1, 2, 4],
    [-2, -2, -1],
    [-1, -3, 4],
    [-3, -1, 2],
    [1, -3, -1],
  ])("axis %i from %i to %i", async (axis, start, end) => {
    await checkGrad((x) => op.slice(x, axis, start, end), ["234"]);
    const along = (axis + 3) % 3;
    const length = x234.shape[along]!;
    const from = start < 0 ? start + length : start;
    const y = await valueOf((x) => op.slice(x, axis, start, end), x234);
    expect(y.shape[along]).toBe((end < 0 ? end + length : end) - from);
    const expected = tabulate(y.shape, (...index) => at(x234, ...index.with(along, index[along]! + from)));
    expect([...y.data]).toEqual([...expected]);
  });
  it.each([
    [0, 0, 4],
    [1, 2, 5],
    [-1, 1, 4],
  ])("pad on axis %i from %i on into %i has its gradient", (axis, start, length) =>
    checkGrad((x) => op.pad(x, axis, start, length), ["23"]),
  );
  it.each([
    ["are joined where they make up the whole", 3, false],
    ["are padded where they do not", 2, true],
  ])("gradients of slices %s", (_, end, isPadded) => {
    const x = op.input("x", "float32", [2, 3]);
    const parts = [op.slice(x, 1, 0, 1), op.slice(x, 1, 1, end)].map((part) => op.reduceSum(op.exp(part)));
    expect(print([grad(op.add(parts[0]!, parts[1]!), [x])[0]!]).includes("Pad")).toBe(isPadded);
  });
  it("overlapping slices add their gradients", () =>
    checkGrad((x) => op.mul(op.slice(x, 1, 0, 2), op.slice(x, 1, -2, 3)), ["23"]));
});

describe("concat", () => {
  it.each([0, 1, 2, -1, -2, -3])("on axis %i", async (axis) => {
    const along = (axis + 3) % 3;
    const shapes = ["p", "q", "1"].map((size) => ["l", "m", "n"].with(along, size).join(""));
    await checkGrad((a, b, c) => op.concat([a, b, c, a], axis), shapes);
    const other = draw("float32", [2, 3, 4].with(along, 1), randomFor("concat"));
    const y = await valueOf((a, b) => op.concat([a, b], axis), x234, other);
    const length = x234.shape[along]!;
    const expected = tabulate(y.shape, (...index) =>
      index[along]! < length ? at(x234, ...index) : at(other, ...index.with(along, 0)),
    );
    expect([...y.data]).toEqual([...expected]);
  });
  it("of one part is that part", () => {
    const x = op.input("x", "float32", [2]);
    expect(op.concat([x], 0)).toBe(x);
  });
});

describe("errors", () => {
  const x = op.input("x", "float32", [2, 3]);
  const y = op.input("y", "float32", [2, 4, 1]);
  it.each<[string, () => Value, string]>([
    ["reshape", () => op.reshape(x, [4]), "Reshape: cannot view [2,3] as [4]: the numbers of elements differ"],
    [
      "reshape with -1",
      () => op.reshape(x, [4, -1]),
      "Reshape: cannot view [2,3] as [4,1.5]: the numbers of elements differ",
    ],
    ["transpose, too few", () => op.transpose(x, [0]), "Transpose: [0] is not an order of the axes of [2,3]"],
    ["transpose, twice", () => op.transpose(x, [1, -1]), "Transpose: [1,1] is not an order of the axes of [2,3]"],
    ["transpose, no such axis", () => op.transpose(x, [0, 2]), "axis 2 is out of range for a tensor of 2 dimensions"],
    ["expand", () => op.expand(x, [4, 3]), "Expand: cannot expand [2,3] to [4,3]"],
    ["expand to fewer axes", () => op.expand(x, [3]), "Expand: cannot expand [2,3] to [3]"],
    ["slice, empty", () => op.slice(x, 1, 2, 2), "Slice: 2 to 2 is not a range of axis 1 of [2,3]"],
    ["slice, too far", () => op.slice(x, -1, 0, 4), "Slice: 0 to 4 is not a range of axis 1 of [2,3]"],
    ["slice, before the start", () => op.slice(x, 0, -3, 1), "Slice: -1 to 1 is not a range of axis 0 of [2,3]"],
    [
      "concat",
      () => op.concat([x, op.input("z", "float32", [3, 3])], 1),
      "Concat: cannot join float32[2,3], float32[3,3] on axis 1",
    ],
    ["concat, ranks", () => op.concat([x, y], 0), "Concat: cannot join float32[2,3], float32[2,4,1] on axis 0"],
    [
      "concat, types",
      () => op.concat([x, op.input("z", "int64", [2, 3])], -1),
      "Concat: cannot join float32[2,3], int64[2,3] on axis 1",
    ],
    ["concat of nothing", () => op.concat([], 0), "concat needs at least one value"],
  ])("name the shapes: %s", (_, f, message) => {
    expect(f).toThrow(new Error(message));
  });
});
