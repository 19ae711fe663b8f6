import { afterAll, describe, expect, it } from "vitest";
import { tensor } from "../../src/tensor/tensor.ts";
import * as op from "../../src/graph/ops/index.ts";
import type { Executable } from "../../src/backend/backend.ts";
import { compile } from "../../src/backend/executable.ts";
import { evaluate, floats, integers } from "../helpers.ts";

const open: Executable[] = [];
afterAll(async () => {
  for (const each of open) await each.release();
});
async function compiled(...args: Parameters<typeof compile>): Promise<Executable> {
  const program = await compile(...args);
  open.push(program);
  return program;
}

const a = op.input("a", "float32", [2, 2]);
const b = op.input("b", "float32", [2]);
const one = floats([2, 2], [1, 2, 3, 4]);
const two = floats([2], [10, 20]);

describe("run", () => {
  it("computes the outputs from what it is fed", async () => {
    const program = await compiled({ sum: op.add(a, b), total: op.reduceSum(a) });
    expect([...program.inputs.keys()]).toEqual(["a", "b"]);
    expect([...program.outputs.keys()]).toEqual(["sum", "total"]);
    const { sum, total } = await program.run({ a: one, b: two });
    expect(sum).toMatchObject({ dtype: "float32", shape: [2, 2] });
    expect([...sum!.data]).toEqual([11, 22, 13, 24]);
    expect(total!.shape).toEqual([]);
    expect([...total!.data]).toEqual([10]);
  });
  it("gives new memory each time, unless bound", async () => {
    const program = await compiled({ y: op.neg(b) });
    const first = (await program.run({ b: two }))["y"]!;
    await program.run({ b: floats([2], [1, 1]) });
    expect([...first.data]).toEqual([-10, -20]);
  });
  it("handles outputs that are an input, a constant, or one value twice", async () => {
    const y = op.exp(b);
    const got = await evaluate({ b2: b, y, again: y, fixed: op.scalar(7, "int64") }, { b: floats([2], [0, 1]) });
    expect([...got.b2.data]).toEqual([0, 1]);
    expect([...got.again.data]).toEqual([...got.y.data]);
    expect([...got.fixed.data]).toEqual([7n]);
  });
  it("takes names that look like the model's own", async () => {
    const inputs = ["v0", "c0", "v1"].map((name) => op.input(name, "float32", [2]));
    const sum = op.mul(op.add(op.add(inputs[0]!, inputs[1]!), inputs[2]!), 2);
    const feeds = { v0: floats([2], [1, 2]), c0: floats([2], [10, 20]), v1: floats([2], [100, 200]) };
    const got = await evaluate({ v2: sum, v3: op.neg(sum) }, feeds);
    expect([...got.v2.data]).toEqual([222, 444]);
    expect([...got.v3.data]).toEqual([-222, -444]);
  });
  it("knows every element type", async () => {
    const types = ["float32", "float64", "int64", "int32", "bool"] as const;
    const feeds = {
      float32: floats([2], [1.5, 2]),
      float64: tensor("float64", [2], Float64Array.of(1.5, 2)),
      int64: integers([2], [1, -2]),
      int32: tensor("int32", [2], Int32Array.of(1, -2)),
      bool: tensor("bool", [2], Uint8Array.of(1, 0)),
    };
    const outputs = Object.fromEntries(types.map((type) => [`${type}.out`, op.input(type, type, [2])]));
    const got = await evaluate(outputs, feeds);
    for (const type of types) {
      expect(got[`${type}.out`]!.dtype).toBe(type);
      expect([...got[`${type}.out`]!.data]).toEqual([...feeds[type].data]);
    }
  });
});

describe("bind", () => {
  it("reads and writes the same memory from run to run", async () => {
    const program = await compiled({ y: op.mul(a, b), z: op.neg(a) });
    const place = floats([2, 2], [0, 0, 0, 0]);
    const factor = floats([2], [1, 10]);
    program.bind({ inputs: { b: factor }, outputs: { y: place } });
    const got = await program.run({ a: one });
    expect(Object.keys(got)).toEqual(["z"]);
    expect([...place.data]).toEqual([1, 20, 3, 40]);
    factor.data.set([2, 2]);
    await program.run({ a: one });
    expect([...place.data]).toEqual([2, 4, 6, 8]);
  });
  it("a tensor may be input and output", async () => {
    const program = await compiled({ sum: op.add(op.input("sum.before", "float32", [2]), b) });
    const sum = floats([2], [1, 1]);
    program.bind({ inputs: { "sum.before": sum }, outputs: { sum } });
    for (let i = 0; i < 3; i++) await program.run({ b: two });
    expect([...sum.data]).toEqual([31, 61]);
  });
  it("the second binding of an output replaces the first and leaves the others alone", async () => {
    const program = await compiled({ y: op.neg(b), z: op.exp(b) });
    const [first, second] = [floats([2], [0, 0]), floats([2], [0, 0])];
    program.bind({ outputs: { y: first } });
    program.bind({ outputs: { y: second } });
    const got = await program.run({ b: two });
    expect(Object.keys(got)).toEqual(["z"]);
    expect([...first.data]).toEqual([0, 0]);
    expect([...second.data]).toEqual([-10, -20]);
  });
  it("a fed tensor goes before a bound one", async () => {
    const program = await compiled({ y: op.neg(b) });
    program.bind({ inputs: { b: two } });
    expect([...(await program.run({ b: floats([2], [1, 2]) }))["y"]!.data]).toEqual([-1, -2]);
    expect([...(await program.run())["y"]!.data]).toEqual([-10, -20]);
  });
});

describe("errors", () => {
  it("name the tensor and both types", async () => {
    const program = await compiled({ y: op.add(a, b) });
    await expect(program.run({ a: one })).rejects.toThrow(new Error("input b is neither bound nor fed"));
    await expect(program.run({ a: one, b: two, c: two })).rejects.toThrow(new Error("the graph has no tensor named c"));
    await expect(program.run({ a: two, b: two })).rejects.toThrow(
      new Error("a must be float32[2,2], but is float32[2]"),
    );
    await expect(program.run({ a: one, b: integers([2], [1, 2]) })).rejects.toThrow(
      new Error("b must be float32[2], but is int64[2]"),
    );
    expect(() => program.bind({ inputs: { y: one } })).toThrow(new Error("the graph has no tensor named y"));
    expect(() => program.bind({ outputs: { a: one } })).toThrow(new Error("the graph has no tensor named a"));
    expect(() => program.bind({ outputs: { y: two } })).toThrow(new Error("y must be float32[2,2], but is float32[2]"));
  });
  it("of the runtime come through", async () => {
    const wide = op.erf(op.input("x", "float64", [2])); // no such kernel
    await expect(compile({ y: wide })).rejects.toThrow(/Erf/);
  });
});
