/** Models for a device beside those for the CPU. What has no adapter runs them on the CPU, whose kernels are the standard's. */
import { beforeAll, describe, expect, it } from "vitest";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import * as op from "../../src/graph/ops/index.ts";
import { fromDevice, toDevice } from "../../src/graph/ops/device.ts";
import type { Value } from "../../src/graph/value.ts";
import { lower } from "../../src/onnx/lower.ts";
import type { Executable } from "../../src/backend/backend.ts";
import { compile } from "../../src/backend/executable.ts";
import { webgpu } from "../../src/backend/webgpu.ts";
import { adapter } from "../backend/adapter.ts";
import { draw, expectAllclose, floats, inputFor, integers, nodesOf, randomFor, relativeError } from "../helpers.ts";
import { feedsOf, type Graph, graphs } from "./graphs.ts";

type Outputs = Readonly<Record<string, Value>>;
type Results = Record<string, Tensor>;
const hasAdapter = await adapter();

async function once(program: Promise<Executable>, feeds: Readonly<Record<string, Tensor>>): Promise<Results> {
  const executable = await program;
  try {
    return await executable.run(feeds);
  } finally {
    await executable.release();
  }
}
/** In the CPU's form. */
const expected = (outputs: Outputs, feeds: Results) => once(compile(outputs, { threads: 1 }), feeds);
/** In the device's, on whom? */
const places = [
  ["the CPU", true, (outputs: Outputs) => compile(outputs, { threads: 1, target: "device" })],
  ["WebGPU, with nothing left to the CPU", hasAdapter, (outputs: Outputs) => webgpu().compile(outputs)],
] as const;

/** Kernels of the runtime's WebGPU provider for float32, as far as graphs use them. */
const kernels = new Set(
  (
    "Abs Add Cast Concat Div Equal Erf Exp Expand Gather Gelu Gemm Identity LayerNormalization Less Log MatMul Max Mul " +
    "Neg ReduceMax ReduceMean ReduceSum Relu Reshape Slice Softmax Sqrt Sub TopK Transpose Where"
  ).split(" "),
);
function withoutKernel(outputs: Outputs): string[] {
  const types = nodesOf(lower(outputs, {}, { target: "device" }).model).map(({ type }) => type);
  return [...new Set(types)].filter((type) => !kernels.has(type));
}

const random = randomFor("device");
const x = draw("float32", [3, 4], random);
const y = draw("float32", [3, 4], random);
const cube = draw("float32", [2, 3, 4], random);
const other = draw("float32", [2, 4, 5], random);
const positive = floats([3, 4], [...x.data].map(Math.abs));
const signs = floats([5], [-2, -0.5, 0, 0.5, 2]);
const ties = floats([2, 6], [1, 0, 1, 2, 0, 1, 5, 5, 4, 4, 5, -1]);
const counts = integers([2, 3], [7, -7, 5, 0, 9, -1]);
const divisors = integers([3], [2, 3, 5]);
const order = integers([2, 4], [2, 0, 3, 1, 1, 3, 0, 2]);
const picked = integers([2, 2], [2, 0, 1, 1]);
const bools = tensor("bool", [2, 3], Uint8Array.of(1, 0, 1, 0, 0, 1));
const wide = tensor("float64", [3, 4], Float64Array.from(y.data));

type Case = readonly [string, (...inputs: Value[]) => Value, ...Tensor[]];
const cases: readonly Case[] = [
  ["add", op.add, x, y],
  ["add of int64", op.add, counts, divisors],
  ["sub", op.sub, x, y],
  ["mul", op.mul, x, y],
  ["div", op.div, x, y],
  ["div of int64", op.div, counts, divisors],
  ["maximum", op.maximum, x, y],
  ["neg", op.neg, x],
  ["neg of int64", op.neg, counts],
  ["exp", op.exp, x],
  ["log", op.log, positive],
  ["sqrt", op.sqrt, positive],
  ["erf", op.erf, x],
  ["relu", op.relu, x],
  ["abs", op.abs, x],
  ["sign", op.sign, signs],
  ["less", op.less, x, y],
  ["less of int64", op.less, counts, divisors],
  ["equal", op.equal, ties, ties],
  ["equal of int64", op.equal, order, integers([1, 4], [2, 3, 0, 1])],
  ["equal of bool", (a) => op.equal(a, op.less(0, op.cast(op.equal(a, a), "float32"))), bools],
  ["where", (a, b) => op.where(op.less(a, b), a, 7), x, y],
  ["where of int64", (a, b) => op.where(op.less(a, b), a, b), counts, divisors],
  ["cast of int64 to float32", (a) => op.cast(a, "float32"), counts],
  ["cast of float32 to int64", (a) => op.cast(a, "int64"), signs],
  ["cast of float32 to int32", (a) => op.cast(op.mul(a, 3), "int32"), signs],
  ["cast of bool to int64", (a) => op.cast(a, "int64"), bools],
  ["cast of int64 to bool", (a) => op.cast(a, "bool"), counts],
  ["cast of float64", (a) => op.cast(a, "float32"), wide],
  ["numbers in float64", (a) => op.add(op.mul(a, 2), op.constant(wide)), wide],
  ["softmax", (a) => op.softmax(a), cube],
  ["softmax of another axis", (a) => op.softmax(a, 1), cube],
  ["logSoftmax", (a) => op.logSoftmax(a), cube],
  ["logSoftmax of another axis, of large numbers", (a) => op.logSoftmax(op.mul(a, 200), 0), cube],
  ["gelu", op.gelu, x],
  ["layerNorm", (a, b, c) => op.layerNorm(a, b, c), x, floats([4], [1, 2, 3, 4]), floats([4], [0, 1, 0, -1])],
  ["gather", (a, at) => op.gather(a, at), x, picked],
  ["gather of the last axis", (a, at) => op.gather(a, at, -1), cube, picked],
  ["gather of int64", (a, at) => op.gather(a, at, 1), order, picked],
  ["gather of bool", (a, at) => op.gather(a, at, 1), bools, picked],
  ["takeRows", op.takeRows, cube, picked],
  ["takeRows of int64", op.takeRows, order, picked],
  ["oneHot", (at) => op.oneHot(at, 4), order],
  ["the values of topK", (a) => op.topK(a, 3).values, ties],
  ["the positions of topK", (a) => op.topK(a, 3).indices, ties],
  ["the largest of int64", (a) => op.topK(a, 1).indices, order],
  ["argsort", op.argsort, cube],
  ["argsort of equals", op.argsort, ties],
  ["invertPermutation", op.invertPermutation, order],
  ["matmul", (a, b) => op.matmul(a, b), cube, other],
  ["matmul transposed", (a, b) => op.matmul(b, a, { transA: true, transB: true, alpha: 0.3 }), cube, other],
  ["matmul of a smaller right side", (a, b) => op.matmul(a, b, { transB: true, alpha: 0.3 }), cube, x],
  ["matmul of matrices", (a, b) => op.matmul(a, b, { transA: true, alpha: 0.3 }), x, y],
  ["matmul of float64", (a) => op.matmul(a, a, { transB: true }), wide],
  ["gemm", (a, b, c) => op.gemm(a, b, { transB: true, c }), x, y, floats([3], [1, 2, 3])],
  ["reshape of int64", (a) => op.reshape(a, [4, 2]), order],
  ["reshape of bool", (a) => op.reshape(a, [3, 2]), bools],
  ["transpose", (a) => op.transpose(a, [2, 0, 1]), cube],
  ["transpose of int64", (a) => op.transpose(a, [1, 0]), order],
  ["transpose of bool", (a) => op.transpose(a, [1, 0]), bools],
  ["expand", (a) => op.expand(a, [2, 3, 4]), x],
  ["expand of bool", (a) => op.expand(a, [4, 2, 3]), bools],
  ["slice", (a) => op.slice(a, 1, 1, 3), cube],
  ["slice of int64", (a) => op.slice(a, 1, 1, -1), order],
  ["slice of bool", (a) => op.slice(a, 1, 1, 3), bools],
  ["concat", (a, b) => op.concat([a, b, a], 0), x, y],
  ["concat of int64", (a, b) => op.concat([a, b], 1), order, picked],
  ["concat of bool", (a) => op.concat([a, a], 1), bools],
  ["reduceSum", (a) => op.reduceSum(a, { axis: [0, 2] }), cube],
  ["reduceMean", (a) => op.reduceMean(a), cube],
  ["reduceMax", (a) => op.reduceMax(a, { axis: 1, keepdims: true }), cube],
  ["range", () => op.range(5)],
  ["stopGradient", op.stopGradient, x],
  ["an input as it is, int64", (a) => a, order],
];

describe.each(places)("an operation on %s", (_, isThere, open) => {
  for (const [name, f, ...tensors] of cases)
    it.skipIf(!isThere)(name, async () => {
      const feeds = Object.fromEntries(tensors.map((each, i) => [`x${i}`, each]));
      const outputs = { y: f(...tensors.map((each, i) => inputFor(`x${i}`, each))) };
      expect(withoutKernel(outputs)).toEqual([]);
      const [{ y: want }, { y: got }] = [await expected(outputs, feeds), await once(open(outputs), feeds)];
      expect([got!.dtype, got!.shape]).toEqual([want!.dtype, want!.shape]);
      if (want!.dtype.startsWith("float")) expectAllclose(got!.data, want!.data);
      else expect([...got!.data]).toEqual([...want!.data]);
    });
});

describe("types of a model for a device", () => {
  const [at, mask] = [op.input("at", "int64", [2]), op.input("mask", "bool", [2])];
  const outputs = { y: op.where(mask, op.add(at, 1), 0), hits: op.equal(at, 1) };

  it("are float32 for all numbers, and bool", () => {
    const { inputs, outputs: given } = lower(outputs, {}, { target: "device" });
    const types = (of: typeof inputs) => [...of].map(([name, { dtype }]) => `${name} ${dtype}`).sort();
    expect(types(inputs)).toEqual(["at float32", "mask bool"]);
    expect(types(given)).toEqual(["hits bool", "y float32"]);
  });
  it("are those of the values for others", () => {
    for (const target of ["cpu", "standard"] as const) {
      const { inputs, outputs: given } = lower(outputs, {}, { target });
      expect([inputs.get("at")!.dtype, given.get("y")!.dtype]).toEqual(["int64", "int64"]);
    }
  });
  it("have integers up to 2^24", () => {
    const large = integers([3], [0, 2 ** 24, -(2 ** 24)]);
    expect(fromDevice(toDevice(large), "int64")).toEqual(large);
    const message = "a device has integers up to 2^24, but the int64 at 1 is 16777217";
    expect(() => toDevice(integers([2], [0, 2 ** 24 + 1]))).toThrow(message);
    const tooLarge = { y: op.add(at, op.constant(integers([2], [0, 2 ** 24 + 1]))) };
    expect(() => lower(tooLarge, {}, { target: "device" })).toThrow(message);
  });
});

const all = await graphs();
describe.each([...all])("the graph of %s", (_, graph: Graph) => {
  const feeds = feedsOf(graph);
  let want: Results;
  beforeAll(async () => {
    want = await expected(graph.outputs, feeds);
  });
  it("has nothing but nodes with a kernel", () => {
    expect(withoutKernel(graph.outputs)).toEqual([]);
  });
  for (const [place, isThere, open] of places)
    it.skipIf(!isThere)(`gives what it gives on the CPU, on ${place}`, async () => {
      const got = await once(open(graph.outputs), feeds);
      expect(Object.keys(got)).toEqual(Object.keys(want));
      for (const [name, { data, shape }] of Object.entries(want)) {
        expect(got[name]!.shape, name).toEqual(shape);
        expect(Math.hypot(...Array.from<number | bigint, number>(data, Number)), name).toBeGreaterThan(0);
        expect(relativeError(got[name]!.data, data), name).toBeLessThan(1e-5);
      }
    });
});
