/**
 * What the device forms of operations share. A device (WebGPU) has kernels for float32 and few for anything else, so in a
 * model for it every number is a float32, whatever the type of the value: counts and positions are exact up to 2^24. Bools
 * stay bools: that is what comparisons give and choices take.
 */
import type { DType } from "../../tensor/dtype.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import type { Emitter, Value } from "../value.ts";

/** The type that stands for another on a device. */
export function deviceType(dtype: DType): DType {
  return dtype === "bool" ? "bool" : "float32";
}

/** A tensor as a device takes it. Throws where an integer would become another. */
export function toDevice(value: Tensor): Tensor {
  const { dtype, shape, data } = value;
  if (deviceType(dtype) === dtype) return value;
  const numbers = Float64Array.from(data as ArrayLike<number | bigint>, Number);
  const at = dtype === "float64" ? -1 : numbers.findIndex((each) => Math.abs(each) > 2 ** 24);
  if (at !== -1) throw new Error(`a device has integers up to 2^24, but the ${dtype} at ${at} is ${numbers[at]}`);
  return tensor("float32", shape, Float32Array.from(numbers));
}

/** A result of a device as the type it stands for. */
export function fromDevice({ shape, data }: Tensor, dtype: DType): Tensor {
  if (dtype === "int64") return tensor(dtype, shape, BigInt64Array.from(data as Float32Array, BigInt));
  if (dtype === "int32") return tensor(dtype, shape, Int32Array.from(data as Float32Array));
  if (dtype === "float64") return tensor(dtype, shape, Float64Array.from(data as Float32Array));
  return tensor(deviceType(dtype), shape, data);
}

const onnxTypes = { float32: 1, int32: 6, int64: 7, bool: 9, float64: 11 } as const satisfies Record<DType, number>;

/** A node that gives `x` in another element type. */
export function castTo(emit: Emitter, x: string, dtype: DType): string {
  return emit.node("Cast", [x], { to: onnxTypes[dtype] });
}

/** Indices as Gather takes them. They are float32 until then: an int32 cannot be cut, ordered or added to on a device. */
export function asIndices(emit: Emitter, x: string): string {
  return castTo(emit, x, "int32");
}

/** A float32 without what is behind the point, as integer arithmetic has it. */
export function truncated(emit: Emitter, x: string): string {
  return castTo(emit, castTo(emit, x, "int32"), "float32");
}

/** Nodes that move elements and compute nothing. A device does not move bools: there they do it as numbers. */
export function moved(
  emit: Emitter,
  inputs: readonly string[],
  y: Value,
  move: (inputs: readonly string[]) => string,
): string {
  if (emit.target !== "device" || y.dtype !== "bool") return move(inputs);
  const numbers = inputs.map((each) => castTo(emit, each, "float32"));
  return castTo(emit, move(numbers), "bool");
}
