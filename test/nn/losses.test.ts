import { describe, expect, it } from "vitest";
import { tensor } from "../../src/tensor/tensor.ts";
import * as op from "../../src/graph/ops/index.ts";
import { crossEntropy, infoNCE, l2Normalize, logSumExp, ntXent, softCrossEntropy } from "../../src/nn/losses.ts";
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

describe("ntXent", () => {
  const temperature = 0.5;
  it("is the plain formula", async () => {
    const random = randomFor("ntXent");
    const [a, b] = [draw("float32", [5, 3], random), draw("float32", [5, 3], random)];
    const row = (i: number, d: number) => (i < 5 ? at(a, i, d) : at(b, i - 5, d));
    const dot = (i: number, j: number) => [0, 1, 2].reduce((sum, d) => sum + row(i, d) * row(j, d), 0);
    const rows = tabulate([10], (i) => {
      const others = tabulate([10], (k) => (k === i ? 0 : Math.exp(dot(i, k) / temperature)));
      return -Math.log(Math.exp(dot(i, (i + 5) % 10) / temperature) / others.reduce((x, y) => x + y));
    });
    const got = await valueOf((x, y) => ntXent(x, y, temperature), a, b);
    expect(got.shape).toEqual([]);
    expectAllclose(got.data, [rows.reduce((x, y) => x + y) / 10]);
  });
  it("has the gradient of its float64 form", () =>
    checkGrad((a, b) => ntXent(l2Normalize(a), l2Normalize(b), temperature), ["mn", "mn"], {
      exact: (a, b) => {
        const all = op.concat([l2Normalize(a), l2Normalize(b)], 0);
        const exponentials = op.exp(op.div(op.matmul(all, all, { transB: true }), temperature));
        const [n] = a.shape as [number];
        const apart = (shift: number) => op.constant(tensor("float64", [2 * n, 2 * n], pairs(2 * n, shift)));
        const others = op.reduceSum(op.mul(exponentials, op.sub(1, apart(0))), { axis: -1 });
        const positives = op.reduceSum(op.mul(exponentials, apart(n)), { axis: -1 });
        return op.neg(op.reduceMean(op.log(op.div(positives, others))));
      },
    }));
  /** 1 where column and row differ by `shift` modulo `size`. */
  const pairs = (size: number, shift: number) => tabulate([size, size], (i, j) => Number((i + shift) % size === j));
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
  it("with soft targets is the mean over the classes they stand for", async () => {
    const logits = draw("float32", [1, 4], randomFor("softCrossEntropy"));
    const hard = await Promise.all(
      [0, 1, 2, 3].map(
        async (label) => (await valueOf(crossEntropy, logits, integers([1], [label]))).data[0] as number,
      ),
    );
    const shares = [0.1, 0.6, 0, 0.3];
    const expected = shares.reduce((sum, share, i) => sum + share * hard[i]!, 0);
    expectAllclose((await valueOf(softCrossEntropy, logits, floats([1, 4], shares))).data, [expected]);
  });
});
