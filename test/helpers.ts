/** What the tests of numbers share: running a graph once, comparing arrays, checking gradients, plain references. */
import protobuf from "protobufjs";
import { expect } from "vitest";
import { allocate } from "../src/tensor/dtype.ts";
import { fold, key, Random } from "../src/tensor/random.ts";
import { type Shape, show, sizeOf } from "../src/tensor/shape.ts";
import { type Tensor, tensor } from "../src/tensor/tensor.ts";
import { grad } from "../src/graph/grad.ts";
import * as op from "../src/graph/ops/index.ts";
import type { Value } from "../src/graph/value.ts";
import { compile } from "../src/backend/executable.ts";
import type { Scope } from "../src/nn/scope.ts";

type Float = "float32" | "float64";
type Numbers = ArrayLike<number | bigint>;

/** A stream of its own for each test. */
export function randomFor(...names: (number | string)[]): Random {
  return new Random(fold(key(20230222), ...names));
}

/** Standard normal numbers unless `draw` says otherwise, exact in float32 whatever the type. */
export function draw<T extends Float>(
  dtype: T,
  shape: Shape,
  random: Random,
  number = () => random.normal(),
): Tensor<T> {
  const data = allocate<Float>(dtype, sizeOf(shape));
  for (let i = 0; i < data.length; i++) data[i] = Math.fround(number());
  return tensor<T>(dtype, shape, data as Tensor<T>["data"]);
}

export function floats(shape: Shape, numbers: Iterable<number>): Tensor<"float32"> {
  return tensor("float32", shape, Float32Array.from(numbers));
}

export function integers(shape: Shape, numbers: Iterable<number>): Tensor<"int64"> {
  return tensor("int64", shape, BigInt64Array.from(numbers, BigInt));
}

/** An input of a tensor's type. */
export function inputFor(name: string, { dtype, shape }: Tensor): Value {
  return op.input(name, dtype, shape);
}

/** Computes the outputs once. */
export async function evaluate<K extends string>(
  outputs: Readonly<Record<K, Value>>,
  feeds: Readonly<Record<string, Tensor>> = {},
): Promise<Record<K, Tensor>> {
  const program = await compile(outputs, { threads: 1 });
  try {
    return await program.run(feeds);
  } finally {
    await program.release();
  }
}

/** f of the tensors: what the graph of `f` computes. */
export async function valueOf(f: (...inputs: Value[]) => Value, ...tensors: Tensor[]): Promise<Tensor> {
  const feeds = Object.fromEntries(tensors.map((each, i) => [`x${i}`, each]));
  const { y } = await evaluate({ y: f(...tensors.map((each, i) => inputFor(`x${i}`, each))) }, feeds);
  return y;
}

/** |actual - expected| ≤ absolute + relative · |expected| for every element. */
export function expectAllclose(
  actual: Numbers,
  expected: Numbers,
  { absolute = 1e-6, relative = 1e-5 }: { absolute?: number; relative?: number } = {},
  what = "",
) {
  expect(actual.length, `${what} length`).toBe(expected.length);
  let [worst, excess] = [0, -Infinity];
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [Number(actual[i]), Number(expected[i])];
    const beyond = Math.abs(a - b) - absolute - relative * Math.abs(b);
    if (!(beyond <= excess) && !Object.is(a, b)) [worst, excess] = [i, beyond];
  }
  const text = `${what} element ${worst} of ${expected.length}: ${actual[worst]} instead of ${expected[worst]}`;
  expect(excess <= 0, text).toBe(true);
}

/** ‖actual - expected‖ / ‖expected‖. */
export function relativeError(actual: Numbers, expected: Numbers): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (Number(actual[i]) - Number(expected[i])) ** 2;
    size += Number(expected[i]) ** 2;
  }
  return Math.sqrt(difference / size);
}

export interface CheckGradOptions {
  /** Draws the numbers of input `i` (default: standard normal). */
  draw?: (random: Random, input: number) => number;
  /** The same function from operations that have float64 kernels, when `f` has none. */
  exact?: (...inputs: Value[]) => Value;
  /** How many times sizes and numbers are drawn (default 2). */
  rounds?: number;
  /** Largest error of float32 results, relative to the largest number of the result (default 2e-5). */
  tolerance?: number;
}

/**
 * Checks values and gradients of `f`. In `shapes` a letter is a size drawn anew for every round (2 to 5), a digit is that
 * size: ["mn", "1n"]. The result is projected on a random direction; then
 * 1. in float64 the gradient along one random direction per input is compared with a central difference;
 * 2. in float32, where other rules and kernels are at work, every element is compared with float64's.
 */
export async function checkGrad(
  f: (...inputs: Value[]) => Value,
  shapes: readonly string[],
  { draw: number = (random) => random.normal(), exact = f, rounds = 2, tolerance = 2e-5 }: CheckGradOptions = {},
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const random = randomFor("checkGrad", round, ...shapes);
    const sizes = sizesOf(shapes, random);
    const values = sizes.map((shape, i) => draw("float64", shape, random, () => number(random, i)));
    const where = sizes.map(show).join(" ");

    const graph = async (dtype: Float, g: (...inputs: Value[]) => Value) => {
      const inputs = sizes.map((shape, i) => op.input(`x${i}`, dtype, shape));
      const result = g(...inputs);
      const direction = draw(dtype, result.shape, randomFor("projection", round, ...result.shape));
      const loss = op.reduceSum(op.mul(result, op.constant(direction)));
      const gradients = grad(loss, inputs);
      const outputs: Record<string, Value> = { result, loss };
      for (const [i, gradient] of gradients.entries()) {
        if (gradient === undefined) throw new Error(`input ${i} has no gradient`);
        expect(gradient.shape, `shape of gradient ${i}, ${where}`).toEqual(sizes[i]);
        outputs[`gradient${i}`] = gradient;
      }
      return compile(outputs, { threads: 1 });
    };
    const feeds = (all: readonly Tensor[]) => Object.fromEntries(all.map((each, i) => [`x${i}`, each]));

    const wide = await graph("float64", exact);
    const reference = await wide.run(feeds(values));
    for (const [i, { shape, data }] of values.entries()) {
      const along = draw("float64", shape, random).data;
      const lossAt = async (h: number) => {
        const moved = tensor(
          "float64",
          shape,
          Float64Array.from(data, (x, j) => x + h * along[j]!),
        );
        return Number((await wide.run(feeds(values.with(i, moved))))["loss"]!.data[0]);
      };
      const h = 1e-5;
      const difference = ((await lossAt(h)) - (await lossAt(-h))) / (2 * h);
      const gradient = reference[`gradient${i}`]!.data as Float64Array;
      const slope = gradient.reduce((sum, g, j) => sum + g * along[j]!, 0);
      const scale = 1 + gradient.reduce((sum, g, j) => sum + Math.abs(g * along[j]!), 0);
      expect(Math.abs(slope - difference) / scale, `gradient ${i} against differences, ${where}`).toBeLessThan(1e-7);
    }
    await wide.release();

    const narrow = await graph("float32", f);
    const got = await narrow.run(feeds(values.map(({ shape, data }) => floats(shape, data))));
    await narrow.release();
    for (const name of Object.keys(got)) {
      const expected = reference[name]!.data as Float64Array;
      const largest = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 1);
      expectAllclose(got[name]!.data, expected, { absolute: tolerance * largest, relative: 0 }, `${name}, ${where}`);
    }
  }
}

function sizesOf(patterns: readonly string[], random: Random): number[][] {
  const sizes = new Map<string, number>();
  const size = (symbol: string) => {
    if (/\d/.test(symbol)) return Number(symbol);
    if (!sizes.has(symbol)) sizes.set(symbol, 2 + random.integer(4));
    return sizes.get(symbol)!;
  };
  return patterns.map((pattern) => pattern.split("").map(size));
}

/** Plain reference: f of every index of a shape, row-major. */
export function tabulate(shape: Shape, f: (...index: number[]) => number): Float64Array {
  const table = new Float64Array(sizeOf(shape));
  const index = shape.map(() => 0);
  for (let at = 0; at < table.length; at++) {
    table[at] = f(...index);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]!++;
      if (index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
  }
  return table;
}

/** The element of a tensor at an index of a shape it broadcasts to. */
export function at({ shape, data }: Tensor, ...index: number[]): number {
  const own = index.slice(index.length - shape.length);
  let offset = 0;
  for (const [axis, n] of shape.entries()) offset = offset * n + (n === 1 ? 0 : own[axis]!);
  return Number(data[offset]);
}

/** erf(x) = 2/√π Σ (-1)ⁿ x²ⁿ⁺¹ / (n! (2n + 1)) as float64 operations, for |x| < 4. */
export function erfSeries(x: Value): Value {
  const squared = op.mul(x, x);
  let power: Value = op.mul(x, 2 / Math.sqrt(Math.PI));
  let sum = power;
  for (let n = 1; n < 70; n++) {
    power = op.div(op.mul(power, squared), -n);
    sum = op.add(sum, op.div(power, 2 * n + 1));
  }
  return sum;
}

/** The same series for numbers. */
export function plainErf(x: number): number {
  let power = (2 / Math.sqrt(Math.PI)) * x;
  let sum = power;
  for (let n = 1; n < 70; n++) {
    power *= -(x * x) / n;
    sum += power / (2 * n + 1);
  }
  return sum;
}

/** First values of everything a scope declared, by name. */
export function initialValues({ variables }: Scope, seed = 0): Record<string, Tensor<"float32">> {
  const entries = [...variables.values()].map(
    ({ name, shape, init }) => [name, tensor("float32", shape, init(shape, fold(key(seed), name)))] as const,
  );
  return Object.fromEntries(entries);
}

/** A node of an encoded model. */
export interface Node {
  type: string;
  input: string[];
  output: string[];
}

/** The nodes of an ONNX file in file order (ModelProto.graph 7, GraphProto.node 1, NodeProto input 1, output 2, op_type 4). */
export function nodesOf(model: Uint8Array): Node[] {
  const graph = fieldsOf(model).find(({ id }) => id === 7)!.bytes;
  return fieldsOf(graph)
    .filter(({ id }) => id === 1)
    .map(({ bytes }) => {
      const texts = (wanted: number) =>
        fieldsOf(bytes).flatMap((field) => (field.id === wanted ? [new TextDecoder().decode(field.bytes)] : []));
      return { type: texts(4)[0]!, input: texts(1), output: texts(2) };
    });
}

/** The length-delimited fields of a protobuf message, in order. */
export function fieldsOf(bytes: Uint8Array): { id: number; bytes: Uint8Array }[] {
  const reader = protobuf.Reader.create(bytes);
  const fields: { id: number; bytes: Uint8Array }[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if ((tag & 7) === 2) fields.push({ id: tag >>> 3, bytes: reader.bytes() });
    else reader.skipType(tag & 7);
  }
  return fields;
}
