import { describe, expect, it } from "vitest";
import * as op from "../../src/graph/ops/index.ts";
import { crossEntropy, infoNCE, l2Normalize, logSumExp } from "../../src/nn/losses.ts";
import { at, checkGrad, draw, expectAllclose, floats, integers, randomFor, tabulate, valueOf } from "../helpers.ts";

describe("l2Normalize", () => {
  it("gives rows of length one", async () => {
    const x = draw("float32", [2, 3, 4], randomFor("l2"));
    const expected = tabulate(x.shape, (...index) => {
      const row = [0, 1, 2, 3].map((d) => at(x, index[0]!, index[1]!, d));
      return at(x, ...index) / Math.hypot(...row);
    });
    expectAllclose((await valueOf(l2Normalize, x)).data, expected);
    await checkGrad(l2Normalize, ["mn"]);
  });
  it("leaves a row of zeros at zero, value and gradient", async () => {
    expect([...(await valueOf(l2Normalize, floats([1, 2], [0, 0]))).data]).toEqual([0, 0]);
  });
});

it("logSumExp does not overflow", async () => {
  await checkGrad(logSumExp, ["lmn"]);
  const got = await valueOf(logSumExp, floats([2, 2], [1000, 1000, -1000, -1000]));
  expect(got.shape).toEqual([2]);
  expectAllclose(got.data, [1000 + Math.LN2, -1000 + Math.LN2]);
});

describe("infoNCE", () => {
  const temperature = 0.2;
  it("is the plain formula", async () => {
    const random = randomFor("infoNCE");
    const [q, k] = [draw("float32", [5, 3], random), draw("float32", [5, 3], random)];
    const dot = (i: number, j: number) => [0, 1, 2].reduce((sum, d) => sum + at(q, i, d) * at(k, j, d), 0);
    const rows = tabulate([5], (i) => {
      const all = tabulate([5], (j) => Math.exp(dot(i, j) / temperature)).reduce((a, b) => a + b);
      return -Math.log(Math.exp(dot(i, i) / temperature) / all);
    });
    const got = await valueOf((x, y) => infoNCE(x, y, temperature), q, k);
    expect(got.shape).toEqual([]);
    expectAllclose(got.data, [rows.reduce((a, b) => a + b) / 5]);
  });
  it("has the gradient of its float64 form", () =>
    checkGrad((q, k) => infoNCE(l2Normalize(q), l2Normalize(k), temperature), ["mn", "mn"], {
      exact: (q, k) => {
        const logits = op.div(op.matmul(l2Normalize(q), l2Normalize(k), { transB: true }), temperature);
        const n = q.shape[0]!;
        const diagonal = op.constant(integers([n], Array(n).keys()));
        return crossEntropy(logits, diagonal);
      },
    }));
});

describe("crossEntropy", () => {
  const labels = integers([3], [2, 0, 2]);
  it("is the plain formula", async () => {
    const logits = draw("float32", [3, 4], randomFor("crossEntropy"));
    const rows = tabulate([3], (i) => {
      const all = [0, 1, 2, 3].reduce((sum, j) => sum + Math.exp(at(logits, i, j)), 0);
      return Math.log(all) - at(logits, i, at(labels, i));
    });
    expectAllclose((await valueOf(crossEntropy, logits, labels)).data, [rows.reduce((a, b) => a + b) / 3]);
  });
  it("has a gradient", () => checkGrad((x) => crossEntropy(x, op.constant(labels)), ["3n"], { rounds: 3 }));
});
