import type { DType } from "../../tensor/dtype.ts";
import { allocate } from "../../tensor/dtype.ts";
import { type Shape, sizeOf } from "../../tensor/shape.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { apply, type Op, type Value } from "../value.ts";
import { toDevice } from "./device.ts";

/** A value fed at run time, by name. Two inputs of one name in a graph are an error at compile time. */
export function input(name: string, dtype: DType, shape: Shape): Value {
  return apply(inputOp, [], { name, dtype, axes: shape });
}
export const inputOp: Op<{ name: string; dtype: string; axes: Shape }> = {
  name: "Input",
  infer: (_, { dtype, axes }) => ({ dtype: dtype as DType, shape: [...axes] }),
};

/** A value known when the graph is made. Stored in the model: not for weights. */
export function constant(value: Tensor): Value {
  return apply(constantOp, [], { value });
}
const constantOp: Op<{ value: Tensor }> = {
  name: "Constant",
  infer: (_, { value }) => ({ dtype: value.dtype, shape: value.shape }),
  lower: (emit, _, { attrs: { value } }) => emit.constant(emit.target === "device" ? toDevice(value) : value),
};

/** A scalar constant. */
export function scalar(value: number, dtype: DType = "float32"): Value {
  return full([], value, dtype);
}

/** A constant filled with one number. */
export function full(shape: Shape, value: number, dtype: DType = "float32"): Value {
  const data = allocate(dtype, sizeOf(shape));
  if (data instanceof BigInt64Array) data.fill(BigInt(value));
  else data.fill(value);
  return constant(tensor(dtype, shape, data));
}

/** The constant 0, 1, …, count - 1 (int64). */
export function range(count: number): Value {
  const data = BigInt64Array.from({ length: count }, (_, i) => BigInt(i));
  return constant(tensor("int64", [count], data));
}

/** `x` as it is, but no gradient flows through it. */
export function stopGradient(x: Value): Value {
  return apply(stopGradientOp, [x], {});
}
const stopGradientOp: Op = {
  name: "Identity",
  infer: ([x]) => x!,
  vjp: () => [null],
  lower: (_, [x]) => x!, // costs no node
};

/** Result `index` of an op that has several, of the given shape (and the dtype of the first unless said). */
export function item(first: Value, index: number, shape: Shape, dtype: DType = first.dtype): Value {
  return apply(itemOp, [first], { index, axes: shape, dtype });
}
const itemOp: Op<{ index: number; axes: Shape; dtype: string }> = {
  name: "Item",
  infer: (_, { dtype, axes }) => ({ dtype: dtype as DType, shape: axes }),
  lower: (emit, [first], y) => emit.result(first!, y.attrs.index),
};
