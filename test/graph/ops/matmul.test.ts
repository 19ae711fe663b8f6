import { describe, expect, it } from "vitest";
import * as op from "../../../src/graph/ops/index.ts";
import type { Value } from "../../../src/graph/value.ts";
import { at, checkGrad, draw, expectAllclose, randomFor, tabulate, valueOf } from "../../helpers.ts";

const transposes = [
  [false, false],
  [true, false],
  [false, true],
  [true, true],
] as const;
/** Axes in front of the matrices of a and of b. */
const batches = [
  ["", ""],
  ["p", "p"],
  ["p", ""],
  ["", "p"],
  ["1", "p"],
  ["p", "1"],
  ["qp", "p"],
  ["p", "qp"],
  ["q1", "1p"],
  ["1p", "q1"],
  ["qp", "q1"],
  ["", "qp"],
  ["1", "1"],
];

describe.each(transposes)("matmul with transA %s, transB %s", (transA, transB) => {
  const [left, right] = [transA ? "km" : "mk", transB ? "nk" : "kn"];

  it.each(batches)("of batches [%s] and [%s]", (a, b) =>
    checkGrad((x, y) => op.matmul(x, y, { transA, transB }), [a + left, b + right]),
  );
  it.each(batches.slice(0, 8))("scaled by alpha, of batches [%s] and [%s]", (a, b) =>
    checkGrad((x, y) => op.matmul(x, y, { transA, transB, alpha: -0.7 }), [a + left, b + right], {
      exact: (x, y) => op.mul(op.matmul(x, y, { transA, transB }), -0.7),
    }),
  );
  it("has plain values", async () => {
    const random = randomFor("matmul");
    const a = draw("float32", transA ? [4, 1, 3, 2] : [4, 1, 2, 3], random);
    const b = draw("float32", transB ? [5, 4, 3] : [5, 3, 4], random);
    const y = await valueOf((x, z) => op.matmul(x, z, { transA, transB, alpha: 2 }), a, b);
    expect(y.shape).toEqual([4, 5, 2, 4]);
    const expected = tabulate(y.shape, (p, q, i, j) => {
      let sum = 0;
      for (let k = 0; k < 3; k++)
        sum += at(a, p, q, ...(transA ? [k, i] : [i, k])) * at(b, p, q, ...(transB ? [j, k] : [k, j]));
      return 2 * sum;
    });
    expectAllclose(y.data, expected);
  });
});

describe.each(transposes)("gemm with transA %s, transB %s", (transA, transB) => {
  const shapes = [transA ? "km" : "mk", transB ? "nk" : "kn"];

  it("without c", () => checkGrad((a, b) => op.gemm(a, b, { transA, transB }), shapes));
  it.each(["mn", "n", "1n", "m1", "1", "11", ""])("with c [%s]", (c) =>
    checkGrad((a, b, x) => op.gemm(a, b, { transA, transB, c: x }), [...shapes, c]),
  );
  it("has plain values", async () => {
    const random = randomFor("gemm");
    const a = draw("float32", transA ? [3, 2] : [2, 3], random);
    const b = draw("float32", transB ? [4, 3] : [3, 4], random);
    const c = draw("float32", [2, 1], random);
    const expected = tabulate([2, 4], (i, j) => {
      let sum = at(c, i, j);
      for (let k = 0; k < 3; k++) sum += at(a, ...(transA ? [k, i] : [i, k])) * at(b, ...(transB ? [j, k] : [k, j]));
      return sum;
    });
    expectAllclose((await valueOf((x, y, z) => op.gemm(x, y, { transA, transB, c: z }), a, b, c)).data, expected);
  });
});

it("one value on both sides", async () => {
  await checkGrad((x) => op.matmul(x, x, { transB: true }), ["pmn"]);
  await checkGrad((x) => op.gemm(x, x, { transA: true, c: op.reduceSum(x, { axis: 0 }) }), ["mn"]);
});

describe("errors", () => {
  const x = (...shape: number[]) => op.input("x", "float32", shape);
  it.each<[string, () => Value, string]>([
    ["inner sizes", () => op.matmul(x(2, 3), x(2, 3)), "MatMul: cannot multiply float32[2,3] by float32[2,3]"],
    [
      "swapped sizes",
      () => op.matmul(x(2, 3), x(3, 4), { transA: true, transB: true }),
      "MatMul: cannot multiply float32[2,3] transposed by float32[3,4] transposed",
    ],
    ["batches", () => op.matmul(x(2, 3, 3), x(4, 3, 3)), "MatMul: cannot broadcast [2] with [4]: axis 0 is 2 and 4"],
    ["vectors", () => op.matmul(x(3), x(3, 4)), "MatMul: needs two axes or more, but got [3] and [3,4]"],
    [
      "types",
      () => op.matmul(x(2, 3), op.input("y", "float64", [3, 4])),
      "MatMul: cannot multiply float32[2,3] by float64[3,4]",
    ],
    ["gemm of batches", () => op.gemm(x(1, 2, 3), x(3, 4)), "Gemm: needs two matrices, but got [1,2,3] and [3,4]"],
    [
      "gemm sizes",
      () => op.gemm(x(2, 3), x(4, 5), { transB: true }),
      "Gemm: cannot multiply float32[2,3] by float32[4,5] transposed",
    ],
    ["c", () => op.gemm(x(2, 3), x(3, 4), { c: x(3) }), "Gemm: cannot broadcast [3] with [2,4]: axis 1 is 3 and 4"],
    [
      "c too large",
      () => op.gemm(x(1, 3), x(3, 4), { c: x(2, 4) }),
      "Gemm: cannot add [2,4] to a product of shape [1,4]",
    ],
  ])("name the shapes: %s", (_, f, message) => {
    expect(f).toThrow(new Error(message));
  });
});
