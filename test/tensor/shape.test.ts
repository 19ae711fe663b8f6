import { describe, expect, it } from "vitest";
import { broadcast, normalizeAxes, normalizeAxis, sameShape, show, sizeOf } from "../../src/tensor/shape.ts";
import { tensor } from "../../src/tensor/tensor.ts";

it("counts and shows", () => {
  expect([sizeOf([]), sizeOf([2, 3]), sizeOf([2, 0])]).toEqual([1, 6, 0]);
  expect([show([]), show([2, 3])]).toEqual(["[]", "[2,3]"]);
  expect(sameShape([2, 3], [2, 3])).toBe(true);
  expect(sameShape([2, 3], [2, 3, 1])).toBe(false);
});

describe("broadcast", () => {
  it.each([
    [
      [2, 3],
      [2, 3],
      [2, 3],
    ],
    [[2, 3], [3], [2, 3]],
    [
      [1, 3],
      [2, 1],
      [2, 3],
    ],
    [[], [4], [4]],
    [
      [5, 1, 3],
      [4, 1],
      [5, 4, 3],
    ],
  ])("%j with %j is %j, either way round", (a, b, expected) => {
    expect(broadcast(a, b)).toEqual(expected);
    expect(broadcast(b, a)).toEqual(expected);
  });
  it("names both shapes and the axis", () => {
    expect(() => broadcast([2, 3], [2])).toThrow(new Error("cannot broadcast [2,3] with [2]: axis 1 is 3 and 2"));
    expect(() => broadcast([4], [2, 3])).toThrow(new Error("cannot broadcast [4] with [2,3]: axis 1 is 4 and 3"));
  });
});

describe("axes", () => {
  it("count from either end", () => {
    expect(normalizeAxis(-1, 3)).toBe(2);
    expect(normalizeAxes([2, -3], 3)).toEqual([0, 2]);
    expect(normalizeAxes(undefined, 2)).toEqual([0, 1]);
    expect(normalizeAxes(-2, 2)).toEqual([0]);
  });
  it("that do not exist, or recur, are errors", () => {
    expect(() => normalizeAxis(3, 3)).toThrow(new Error("axis 3 is out of range for a tensor of 3 dimensions"));
    expect(() => normalizeAxis(0.5, 3)).toThrow(new Error("axis 0.5 is out of range for a tensor of 3 dimensions"));
    expect(() => normalizeAxes([0, -2], 2)).toThrow(new Error("axes [0,0] name one axis twice"));
  });
});

describe("tensor", () => {
  it("is zero without data", () => {
    expect(tensor("int64", [2]).data).toEqual(BigInt64Array.of(0n, 0n));
    expect(tensor("float64", []).data).toEqual(Float64Array.of(0));
  });
  it("wants as many elements as its shape", () => {
    expect(() => tensor("float32", [2, 3], new Float32Array(5))).toThrow(
      new Error("shape [2,3] needs 6 elements, but the data has 5"),
    );
  });
});
