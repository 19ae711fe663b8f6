import type { DType } from "../../tensor/dtype.ts";
import { normalizeAxis, type Shape, show, sizeOf } from "../../tensor/shape.ts";
import { tensor } from "../../tensor/tensor.ts";
import { apply, type Emitter, type Op, type Value } from "../value.ts";
import { asIndices } from "./device.ts";
import { cast, equal } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { reshape } from "./movement.ts";
import { range } from "./source.ts";

/**
 * Slices of x along `axis` at int64 `indices` (any shape, ≥ 0), which take the axis' place.
 * The gradient is a product with a one-hot matrix: exact and reproducible, meant for short axes.
 */
export function gather(x: Value, indices: Value, axis = 0): Value {
  return apply(gatherOp, [x, indices], { axis: normalizeAxis(axis, x.shape.length) });
}
const gatherOp: Op<{ axis: number }> = {
  name: "Gather",
  infer: ([x, indices], { axis }) => {
    needsInt64(indices!);
    return { dtype: x!.dtype, shape: [...x!.shape.slice(0, axis), ...indices!.shape, ...x!.shape.slice(axis + 1)] };
  },
  vjp: (dy, { inputs: [x, indices], attrs: { axis } }) => {
    const [before, after] = [x!.shape.slice(0, axis), x!.shape.slice(axis + 1)];
    const count = sizeOf(indices!.shape);
    const rows = reshape(dy, [sizeOf(before), count, sizeOf(after)]);
    const hot = oneHot(reshape(indices!, [count]), x!.shape[axis]!, x!.dtype); // [count, n]
    return [reshape(matmul(hot, rows, { transA: true }), x!.shape), null];
  },
  lower: (emit, [x, indices], { attrs: { axis } }) =>
    emit.node("Gather", [x!, emit.target === "device" ? asIndices(emit, indices!) : indices!], { axis }),
};

/** Rows of each sample: x [B, L, ...] at int64 indices [B, K] → [B, K, ...]. */
export function takeRows(x: Value, indices: Value): Value {
  return apply(takeRowsOp, [x, indices], {});
}
const takeRowsOp: Op = {
  name: "GatherND",
  infer: ([x, indices]) => {
    needsInt64(indices!);
    if (x!.shape.length < 2 || indices!.shape.length !== 2 || x!.shape[0] !== indices!.shape[0])
      throw new Error(`needs [B,L,...] and indices [B,K], but got ${show(x!.shape)} and ${show(indices!.shape)}`);
    return { dtype: x!.dtype, shape: [...indices!.shape, ...x!.shape.slice(2)] };
  },
  vjp: (dy, { inputs: [x, indices] }) => {
    const [samples, length] = x!.shape as [number, number];
    const hot = oneHot(indices!, length, x!.dtype); // [B, K, L]
    const rows = reshape(dy, [samples, indices!.shape[1]!, sizeOf(x!.shape.slice(2))]);
    return [reshape(matmul(hot, rows, { transA: true }), x!.shape), null];
  },
  lower: (emit, [x, indices], { inputs }) => {
    if (emit.target === "device") return gatherFlat(emit, [x!, indices!], inputs[0]!.shape);
    const shape = tensor("int64", [3], BigInt64Array.from([...inputs[1]!.shape, 1], BigInt));
    const column = emit.node("Reshape", [indices!, emit.constant(shape)]);
    return emit.node("GatherND", [x!, column], { batch_dims: 1 });
  },
};

/** The device form of `takeRows`: GatherND wants int64 indices, Gather does not, so it takes from the rows of all samples. */
function gatherFlat(emit: Emitter, [x, indices]: readonly [string, string], shape: Shape): string {
  const [samples, length, ...rest] = shape as [number, number, ...number[]];
  const flat = BigInt64Array.from([samples * length, ...rest], BigInt);
  const rows = emit.node("Reshape", [x, emit.constant(tensor("int64", [flat.length], flat))]);
  const starts = Float32Array.from({ length: samples }, (_, i) => i * length);
  const places = emit.node("Add", [indices, emit.constant(tensor("float32", [samples, 1], starts))]);
  return emit.node("Gather", [rows, asIndices(emit, places)], { axis: 0 });
}

/** 1 where `indices` (int64) equals the position on a new last axis of length `depth`, else 0. */
export function oneHot(indices: Value, depth: number, dtype: DType = "float32"): Value {
  return cast(equal(reshape(indices, [...indices.shape, 1]), range(depth)), dtype);
}

/** The `count` largest elements of the last axis in descending order, and their positions (int64). No gradient. */
export function topK(x: Value, count: number): { values: Value; indices: Value } {
  const values = apply(topKOp, [x], { count, largest: true });
  return { values, indices: positions(values) };
}

/** Positions (int64) that sort x ascending along the last axis; equal elements keep their order. */
export function argsort(x: Value): Value {
  return positions(apply(topKOp, [x], { count: x.shape.at(-1)!, largest: false }));
}
const topKOp: Op<{ count: number; largest: boolean }> = {
  name: "TopK",
  infer: ([x], { count }) => {
    const length = x!.shape.at(-1) ?? 0;
    if (!(count >= 1 && count <= length)) throw new Error(`cannot take ${count} of the last axis of ${show(x!.shape)}`);
    return { dtype: x!.dtype, shape: [...x!.shape.slice(0, -1), count] };
  },
  vjp: () => [null],
  lower: (emit, [x], { attrs: { count, largest } }) => {
    const k = emit.constant(tensor("int64", [1], BigInt64Array.of(BigInt(count))));
    return emit.node("TopK", [x!, k], { axis: -1, largest: Number(largest), sorted: 1 }, { results: 2 });
  },
};

/** The second result of a TopK: where its elements were. */
function positions(values: Value): Value {
  return apply(positionsOp, [values], {});
}
const positionsOp: Op = {
  name: "Item",
  infer: ([values]) => ({ dtype: "int64", shape: values!.shape }),
  lower: (emit, [first], { inputs: [values] }) => {
    const indices = emit.result(first!, 1);
    if (emit.target !== "device") return indices;
    // int64 in any case; a device cannot cast it, but look it up in a table
    const table = Float32Array.from({ length: values!.inputs[0]!.shape.at(-1)! }, (_, i) => i);
    return emit.node("Gather", [emit.constant(tensor("float32", [table.length], table)), indices], { axis: 0 });
  },
};

/** The permutation that undoes `order` [B, L] (int64). */
export function invertPermutation(order: Value): Value {
  // order[b, r] = l  <=>  inverse[b, l] = r; sorting the positions by value gives exactly that
  return argsort(order);
}

function needsInt64(indices: Value) {
  if (indices.dtype !== "int64") throw new Error(`indices must be int64, but are ${indices.dtype}`);
}
