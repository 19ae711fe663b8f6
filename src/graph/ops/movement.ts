import { allocate } from "../../tensor/dtype.ts";
import { normalizeAxis, type Shape, sameShape, show, sizeOf } from "../../tensor/shape.ts";
import { tensor } from "../../tensor/tensor.ts";
import { apply, type Op, type Value } from "../value.ts";
import { moved, toDevice } from "./device.ts";

/** The same elements in another shape; one axis may be -1. */
export function reshape(x: Value, shape: Shape): Value {
  const rest = shape.reduce((product, n) => (n === -1 ? product : product * n), 1);
  const target = shape.map((n) => (n === -1 ? sizeOf(x.shape) / rest : n));
  if (sameShape(x.shape, target)) return x;
  if (x.op.name === reshapeOp.name) return reshape(x.inputs[0]!, target);
  return apply(reshapeOp, [x], { shape: target });
}
export const reshapeOp: Op<{ shape: Shape }> = {
  name: "Reshape",
  infer: ([x], { shape }) => {
    if (sizeOf(x!.shape) !== sizeOf(shape) || shape.some((n) => !Number.isInteger(n)))
      throw new Error(`cannot view ${show(x!.shape)} as ${show(shape)}: the numbers of elements differ`);
    return { dtype: x!.dtype, shape };
  },
  vjp: (dy, { inputs: [x] }) => [reshape(dy, x!.shape)],
  lower: (emit, [x], y) => emit.node("Reshape", [x!, emit.constant(integers(y.shape))], { allowzero: 1 }),
};

/** Axes in another order: axis i of the result is axis `order[i]` of x. */
export function transpose(x: Value, order: readonly number[]): Value {
  return apply(transposeOp, [x], { perm: order.map((axis) => normalizeAxis(axis, x.shape.length)) });
}
const transposeOp: Op<{ perm: readonly number[] }> = {
  name: "Transpose",
  infer: ([x], { perm }) => {
    if (perm.length !== x!.shape.length || new Set(perm).size !== perm.length)
      throw new Error(`${show(perm)} is not an order of the axes of ${show(x!.shape)}`);
    return { dtype: x!.dtype, shape: perm.map((axis) => x!.shape[axis]!) };
  },
  vjp: (dy, { attrs }) => [
    transpose(
      dy,
      attrs.perm.map((_, axis) => attrs.perm.indexOf(axis)),
    ),
  ],
  lower: (emit, inputs, y) => moved(emit, inputs, y, (names) => emit.node("Transpose", names, { perm: y.attrs.perm })),
};

/** x repeated along axes of length 1 (and new leading axes) up to `shape`. */
export function expand(x: Value, shape: Shape): Value {
  return sameShape(x.shape, shape) ? x : apply(expandOp, [x], { shape });
}
const expandOp: Op<{ shape: Shape }> = {
  name: "Expand",
  infer: ([x], { shape }) => {
    const offset = shape.length - x!.shape.length;
    if (offset < 0 || !x!.shape.every((n, i) => n === 1 || n === shape[i + offset]))
      throw new Error(`cannot expand ${show(x!.shape)} to ${show(shape)}`);
    return { dtype: x!.dtype, shape };
  },
  vjp: (dy) => [dy], // grad sums over the broadcast axes
  lower: (emit, [x], y) => emit.node("Expand", [x!, emit.constant(integers(y.shape))]),
};

/** Elements start ≤ i < end along one axis. `start` and `end` may be negative: counted from the back. */
export function slice(x: Value, axis: number, start: number, end: number): Value {
  const at = normalizeAxis(axis, x.shape.length);
  const length = x.shape[at]!;
  const [from, to] = [start < 0 ? start + length : start, end < 0 ? end + length : end];
  return from === 0 && to === length ? x : apply(sliceOp, [x], { axis: at, start: from, end: to });
}
const sliceOp: Op<{ axis: number; start: number; end: number }> = {
  name: "Slice",
  infer: ([x], { axis, start, end }) => {
    if (!(start >= 0 && start < end && end <= x!.shape[axis]!))
      throw new Error(`${start} to ${end} is not a range of axis ${axis} of ${show(x!.shape)}`);
    return { dtype: x!.dtype, shape: x!.shape.map((n, i) => (i === axis ? end - start : n)) };
  },
  vjp: (dy, { inputs: [x], attrs: { axis, start } }) => [pad(dy, axis, start, x!.shape[axis]!)],
  lower: (emit, inputs, y) => {
    const { axis, start, end } = y.attrs;
    const range = () => [[start], [end], [axis]].map((list) => emit.constant(integers(list)));
    return moved(emit, inputs, y, ([x]) => emit.node("Slice", [x!, ...range()]));
  },
};

/** x as the elements from `start` on of an axis of length `length`, zeros before and after: what a slice leaves behind. */
export function pad(x: Value, axis: number, start: number, length: number): Value {
  return apply(padOp, [x], { axis: normalizeAxis(axis, x.shape.length), start, length });
}
export const padOp: Op<{ axis: number; start: number; length: number }> = {
  name: "Pad",
  infer: ([x], { axis, start, length }) => {
    if (!(start >= 0 && start + x!.shape[axis]! <= length))
      throw new Error(`${show(x!.shape)} does not fit from ${start} on into ${length} on axis ${axis}`);
    return { dtype: x!.dtype, shape: x!.shape.map((n, i) => (i === axis ? length : n)) };
  },
  vjp: (dy, { inputs: [x], attrs: { axis, start } }) => [slice(dy, axis, start, start + x!.shape[axis]!)],
  lower: (emit, inputs, { dtype, inputs: [x], attrs: { axis, start, length } }) => {
    const rest = length - start - x!.shape[axis]!;
    const at = (n: number) => x!.shape.map((_, i) => (i === axis ? n : 0));
    if (emit.target !== "device")
      return emit.node("Pad", [inputs[0]!, emit.constant(integers([...at(start), ...at(rest)]))]);
    const zeros = (n: number) => {
      const shape = x!.shape.map((m, i) => (i === axis ? n : m));
      return n === 0 ? [] : [emit.constant(toDevice(tensor(dtype, shape, allocate(dtype, sizeOf(shape)))))];
    };
    return emit.node("Concat", [...zeros(start), inputs[0]!, ...zeros(rest)], { axis });
  },
};

/** Values joined along one axis. */
export function concat(parts: readonly Value[], axis: number): Value {
  if (parts.length === 1) return parts[0]!;
  if (parts.length === 0) throw new Error("concat needs at least one value");
  return apply(concatOp, parts, { axis: normalizeAxis(axis, parts[0]!.shape.length) });
}
const concatOp: Op<{ axis: number }> = {
  name: "Concat",
  infer: (parts, { axis }) => {
    const [first] = parts;
    const fits = (part: Value) =>
      part.dtype === first!.dtype &&
      part.shape.length === first!.shape.length &&
      part.shape.every((n, i) => i === axis || n === first!.shape[i]);
    if (!parts.every(fits))
      throw new Error(`cannot join ${parts.map((part) => part.dtype + show(part.shape)).join(", ")} on axis ${axis}`);
    const length = parts.reduce((sum, part) => sum + part.shape[axis]!, 0);
    return { dtype: first!.dtype, shape: first!.shape.map((n, i) => (i === axis ? length : n)) };
  },
  vjp: (dy, { inputs, attrs: { axis } }) => {
    let start = 0;
    return inputs.map((part) => slice(dy, axis, start, (start += part.shape[axis]!)));
  },
  lower: (emit, inputs, y) => moved(emit, inputs, y, (parts) => emit.node("Concat", parts, { axis: y.attrs.axis })),
};

function integers(list: readonly number[]) {
  return tensor("int64", [list.length], BigInt64Array.from(list, BigInt));
}
