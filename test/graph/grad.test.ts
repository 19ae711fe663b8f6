import { describe, expect, it } from "vitest";
import type { Shape } from "../../src/tensor/shape.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { accumulate, grad, vjp } from "../../src/graph/grad.ts";
import * as op from "../../src/graph/ops/index.ts";
import { print, reachable, type Value } from "../../src/graph/value.ts";
import { compile } from "../../src/backend/executable.ts";
import { lower } from "../../src/onnx/lower.ts";
import { checkGrad, draw, evaluate, expectAllclose, floats, inputFor, nodesOf, randomFor } from "../helpers.ts";

describe("grad", () => {
  const x = op.input("x", "float32", [3]);

  it("wants a scalar", () => {
    expect(() => grad(x, [x])).toThrow(new Error("grad needs a scalar loss, but its shape is [3]"));
  });
  it("of the loss itself is one, of a target twice the same, of an intermediate value its own", async () => {
    const y = op.mul(x, x);
    const loss = op.reduceSum(y);
    const [dloss, dy, dx, again] = grad(loss, [loss, y, x, x]);
    expect(again).toBe(dx);
    const got = await evaluate({ dloss: dloss!, dy: dy!, dx: dx! }, { x: floats([3], [1, 2, 3]) });
    expect([...got.dloss.data]).toEqual([1]);
    expect([...got.dy.data]).toEqual([1, 1, 1]);
    expect([...got.dx.data]).toEqual([2, 4, 6]);
  });
  it("is undefined for what the loss does not depend on", () => {
    const other = op.input("other", "float32", [3]);
    const later = op.exp(x); // made from x, but no part of the loss
    expect(grad(op.reduceSum(op.neg(x)), [other, later])).toEqual([undefined, undefined]);
  });
  it("says which operation has none", () => {
    const statistics = op.item(op.layerNorm(op.input("y", "float32", [2, 3]), x, x), 1, [2, 1]);
    expect(() => grad(op.reduceSum(statistics), [x])).toThrow(
      new Error("Item has no gradient, but a target of grad needs it"),
    );
  });
  it("adds up where a value has several users", async () => {
    await checkGrad((a) => op.add(op.mul(a, op.exp(a)), op.mul(a, a)), ["mn"]);
    await checkGrad((a, b) => op.matmul(op.add(a, op.matmul(a, b)), op.softmax(op.mul(b, b))), ["mm", "mm"]);
  });
  it("of gradients: second derivatives", async () => {
    const slope = (f: (x: Value) => Value) => (a: Value) => grad(op.reduceSum(f(a)), [a])[0]!;
    await checkGrad(
      slope((a) => op.log(op.add(op.mul(a, a), 1))),
      ["mn"],
    );
    await checkGrad(
      slope((a) => op.mul(op.softmax(a), a)),
      ["mn"],
    );
    await checkGrad(
      slope((a) => op.matmul(op.exp(a), a, { transB: true })),
      ["pmn"],
    );
    await checkGrad(
      slope((a) => op.mul(op.slice(op.concat([a, op.exp(a)], 0), 0, 1, 3), 2)),
      ["mn"],
    );
  });
});

describe("vjp", () => {
  it("is the gradient of outputs projected on their cotangents", async () => {
    const random = randomFor("vjp");
    const [a, b] = [draw("float32", [3, 4], random), draw("float32", [4, 2], random)];
    const [da, db] = [draw("float32", [3, 2], random), draw("float32", [4], random)];
    const [x, y] = [inputFor("a", a), inputFor("b", b)];
    const [product, sums] = [op.matmul(x, y), op.reduceSum(op.exp(x), { axis: 0 })];
    const [byPairs] = vjp(
      [
        [product, op.constant(da)],
        [sums, op.constant(db)],
      ],
      [x],
    );
    const [projected] = grad(
      op.add(op.reduceSum(op.mul(product, op.constant(da))), op.reduceSum(op.mul(sums, op.constant(db)))),
      [x],
    );
    const got = await evaluate({ byPairs: byPairs!, projected: projected! }, { a, b });
    expectAllclose(got.byPairs.data, got.projected.data);
  });
});

describe("frozen parts", () => {
  const x = op.input("x", "float32", [8, 5]);
  const weights = [0, 1, 2].map((i) => op.input(`w${i}`, "float32", [5, 5]));
  const loss = op.reduceSum(weights.reduce<Value>((y, w) => op.relu(op.gemm(y, w)), x));
  const count = (outputs: Record<string, Value>, type: string) =>
    nodesOf(lower(outputs).model).filter((node) => node.type === type).length;

  it.each([
    [[2], 1],
    [[1], 2],
    [[0], 3],
    [[1, 2], 3],
    [[0, 1, 2], 5],
    [[0, 2], 4],
  ])("layers %j of three take %i products backward", (trained, products) => {
    const targets = trained.map((i) => weights[i]!);
    const outputs = Object.fromEntries(grad(loss, targets).map((gradient, i) => [`g${i}`, gradient!]));
    expect(count({ loss, ...outputs }, "Gemm") - count({ loss }, "Gemm")).toBe(products);
  });
  it("below the trained ones make no values at all", () => {
    const before = op.scalar(0).id;
    const [gradient] = grad(loss, [weights[2]!]);
    const made = reachable([gradient!]).filter(({ id }) => id > before);
    expect(made.map(({ op }) => op.name).toSorted()).toEqual(
      ["Constant", "Reshape", "Expand", "Constant", "Less", "Constant", "Where", "Gemm"].toSorted(),
    );
    expect(print([gradient!])).not.toContain("Transpose");
  });
  it("a branch without targets makes none either", () => {
    const branch = op.reduceSum(op.gemm(op.gelu(op.gemm(x, weights[0]!)), weights[1]!));
    const [gradient] = grad(op.add(loss, branch), [weights[2]!]);
    expect(print([gradient!])).not.toMatch(/Gelu|Erf/);
  });
});

describe("accumulate", () => {
  const random = randomFor("accumulate");
  const w = op.input("w", "float32", [4, 4]);
  const b = op.input("b", "float32", [4]);
  const cls = op.input("cls", "float32", [1, 1, 4]);
  const x = op.input("x", "float32", [2, 3, 4]);

  /** Layers used once and twice, weights of one, two and three axes. */
  function network(): Value {
    const dense = (y: Value) => {
      const [n, l, d] = y.shape as [number, number, number];
      return op.reshape(op.gemm(op.reshape(y, [n * l, d]), w, { transB: true, c: b }), [n, l, d]);
    };
    const joined = op.concat([op.expand(cls, [2, 1, 4]), x], 1);
    const normed = op.layerNorm(dense(op.gelu(dense(joined))), b, op.mul(b, b));
    return op.reduceMean(op.mul(normed, op.exp(normed)));
  }
  const targets = { w, b, cls };
  const gradients = grad(network(), Object.values(targets));

  it("equals sum + gradient in place, over repeated runs", async () => {
    const values = {
      w: draw("float32", [4, 4], random),
      b: draw("float32", [4], random),
      cls: draw("float32", [1, 1, 4], random),
    };
    const batches = [0, 1, 2].map(() => draw("float32", [2, 3, 4], random));
    const names = Object.keys(targets).map((name) => `gradient.${name}`);

    const plain = await compile(Object.fromEntries(gradients.map((gradient, i) => [names[i]!, gradient!])));
    const expected = Object.values(values).map(({ data }) => new Float64Array(data.length).fill(0.5));
    for (const batch of batches) {
      const got = await plain.run({ ...values, x: batch });
      for (const [i, name] of names.entries())
        for (const [j, g] of (got[name]!.data as Float32Array).entries()) expected[i]![j]! += g;
    }
    await plain.release();

    const outputs: Record<string, Value> = {};
    const places: { inputs: Record<string, Tensor>; outputs: Record<string, Tensor> } = { inputs: {}, outputs: {} };
    const sums = Object.values(values).map(({ data }) => new Float32Array(data.length).fill(0.5));
    for (const [i, name] of names.entries()) {
      const sum = (shape: Shape) => {
        places.inputs[`sum.${name}`] = tensor("float32", shape, sums[i]);
        return op.input(`sum.${name}`, "float32", shape);
      };
      const result = accumulate(sum, gradients[i]!);
      outputs[name] = result;
      places.outputs[name] = tensor("float32", result.shape, sums[i]);
    }
    const inPlace = await compile(outputs);
    inPlace.bind({ inputs: { ...values, ...places.inputs }, outputs: places.outputs });
    for (const batch of batches) expect(await inPlace.run({ x: batch })).toEqual({});
    await inPlace.release();
    for (const [i, name] of names.entries()) expectAllclose(sums[i]!, expected[i]!, { absolute: 1e-5 }, name);
  });

  it("adds inside the product that makes the gradient", () => {
    const sum = (shape: Shape) => op.input("sum", "float32", shape);
    const y = op.reduceSum(op.exp(op.gemm(op.reshape(x, [6, 4]), w, { c: b })));
    const [dw, db] = grad(y, [w, b]);
    for (const [target, gradient] of [
      [w, dw!],
      [b, db!],
    ] as const) {
      const result = accumulate(sum, gradient);
      expect(result.op.name).toBe("Gemm");
      expect(result.inputs).toHaveLength(3);
      expect(result.shape.reduce((a, n) => a * n)).toBe(target.shape.reduce((a, n) => a * n));
    }
  });
  it("takes every product of a weight that is used twice", () => {
    const rows = op.reshape(x, [6, 4]);
    const [dw] = grad(op.reduceSum(op.exp(op.gemm(op.exp(op.gemm(rows, w)), w))), [w]);
    expect(dw!.op.name).toBe("Gemm");
    expect(dw!.inputs[2]!.op.name).toBe("Gemm");
    const result = accumulate((shape) => op.input("sum", "float32", shape), dw!);
    expect(result.op.name).toBe("Gemm");
    expect(result.inputs[2]!.op.name).toBe("Gemm");
    expect(result.inputs[2]!.inputs[2]!.attrs["name"]).toBe("sum");
  });
  it("of a gradient that is a broadcast sum", async () => {
    const y = op.input("y", "float32", [3]);
    const gradient = op.add(y, op.reduceSum(y));
    const result = accumulate((shape) => op.input("sum", "float32", shape), gradient);
    const got = await evaluate({ result }, { y: floats([3], [1, 2, 3]), sum: floats([3], [10, 20, 30]) });
    expect([...got.result.data]).toEqual([17, 28, 39]);
  });
});
