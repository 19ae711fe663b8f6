import { describe, expect, it } from "vitest";
import { grad } from "../../src/graph/grad.ts";
import * as op from "../../src/graph/ops/index.ts";
import { apply, type Op, print, reachable, type Value } from "../../src/graph/value.ts";
import { lower } from "../../src/onnx/lower.ts";

const x = op.input("x", "float32", [2, 3]);

describe("print", () => {
  it("writes a line a value, inputs before users", () => {
    const y = op.reduceSum(op.mul(x, 2), { axis: 1, keepdims: true });
    expect(print([y]).split("\n")).toEqual([
      '%0 = Input(name="x", dtype="float32", axes=[2,3]) float32[2,3]',
      "%1 = Constant(value=…) float32[]",
      "%2 = Mul(%0, %1) float32[2,3]",
      "%3 = ReduceSum(%2, axes=[1], keepdims=true) float32[2,1]",
    ]);
  });
  it("writes what several outputs share once", () => {
    const y = op.exp(x);
    expect(print([op.neg(y), op.log(y)]).match(/Exp/g)).toHaveLength(1);
  });
});

describe("reachable", () => {
  it("is what the outputs depend on and nothing else, in topological order", () => {
    const a = op.exp(x);
    const unused = op.log(a);
    const b = op.add(a, x);
    expect(reachable([b])).toEqual([x, a, b]);
    expect(reachable([b, unused])).toEqual([x, a, unused, b]);
  });
  it("copes with deep graphs, as do grad and lower", () => {
    const s = op.input("s", "float32", []);
    let y: Value = s;
    for (let i = 0; i < 20_000; i++) y = op.neg(y);
    expect(reachable([y])).toHaveLength(20_001);
    const [gradient] = grad(y, [s]);
    expect(lower({ gradient: gradient! }).model.length).toBeGreaterThan(20_000);
  });
});

describe("apply", () => {
  const picky: Op = {
    name: "Picky",
    infer: () => {
      throw new Error("not today");
    },
  };
  it("puts the op's name before its errors", () => {
    expect(() => apply(picky, [x], {})).toThrow(new Error("Picky: not today"));
  });
  it("makes values that cannot change", () => {
    expect(Object.isFrozen(op.exp(x))).toBe(true);
  });
});
