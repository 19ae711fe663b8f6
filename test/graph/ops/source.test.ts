import { describe, expect, it } from "vitest";
import { tensor } from "../../../src/tensor/tensor.ts";
import { grad } from "../../../src/graph/grad.ts";
import * as op from "../../../src/graph/ops/index.ts";
import { evaluate, floats, valueOf } from "../../helpers.ts";

describe("constants", () => {
  it.each(["float32", "float64", "int64", "int32"] as const)("of %s", async (dtype) => {
    const { y, z } = await evaluate({ y: op.full([2, 2], 3, dtype), z: op.scalar(-1, dtype) });
    expect(y).toMatchObject({ dtype, shape: [2, 2] });
    expect(Array.from(y.data, Number)).toEqual([3, 3, 3, 3]);
    expect(z.shape).toEqual([]);
    expect(Number(z.data[0])).toBe(-1);
  });
  it("that count", async () => {
    const { y } = await evaluate({ y: op.range(3) });
    expect(y).toMatchObject({ dtype: "int64", shape: [3] });
    expect(Array.from(y.data, Number)).toEqual([0, 1, 2]);
  });
  it("of bool", async () => {
    const { y } = await evaluate({ y: op.constant(tensor("bool", [2], Uint8Array.of(1, 0))) });
    expect([...y.data]).toEqual([1, 0]);
  });
});

describe("stopGradient", () => {
  it("leaves the value and cuts the gradient", async () => {
    const x = op.input("x", "float32", [3]);
    const y = op.mul(op.stopGradient(x), x);
    const [dx] = grad(op.reduceSum(y), [x]);
    const got = await evaluate({ y, dx: dx! }, { x: floats([3], [1, 2, 3]) });
    expect([...got.y.data]).toEqual([1, 4, 9]);
    expect([...got.dx.data]).toEqual([1, 2, 3]);
    expect(grad(op.reduceSum(op.stopGradient(op.mul(x, x))), [x])).toEqual([undefined]);
  });
  it("may be the output itself", async () => {
    expect([...(await valueOf(op.stopGradient, floats([2], [1, 2]))).data]).toEqual([1, 2]);
  });
});
