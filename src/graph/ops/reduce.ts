import { normalizeAxes, sizeOf } from "../../tensor/shape.ts";
import { tensor } from "../../tensor/tensor.ts";
import { apply, type Attrs, type Op, type Value } from "../value.ts";
import { cast, div, equal, mul } from "./elementwise.ts";
import { expand, reshape } from "./movement.ts";

/** Axes to reduce (default: all) and whether they stay with length 1 (default: no). */
export interface ReduceOptions {
  axis?: number | readonly number[];
  keepdims?: boolean;
}
interface ReduceAttrs extends Attrs {
  readonly axes: readonly number[];
  readonly keepdims: boolean;
}

/** Sum over axes. */
export function reduceSum(x: Value, options: ReduceOptions = {}): Value {
  return reduce(sumOp, x, options);
}
const sumOp = reduction("ReduceSum", (dy, { inputs: [x], attrs }) => [
  expand(reshape(dy, kept(x!, attrs.axes)), x!.shape),
]);

/** Mean over axes. */
export function reduceMean(x: Value, options: ReduceOptions = {}): Value {
  return reduce(meanOp, x, options);
}
const meanOp = reduction("ReduceMean", (dy, y) => {
  const [x] = y.inputs;
  const count = sizeOf(x!.shape) / sizeOf(y.shape);
  return [expand(div(reshape(dy, kept(x!, y.attrs.axes)), count), x!.shape)];
});

/** Maximum over axes; equal maxima share the gradient. */
export function reduceMax(x: Value, options: ReduceOptions = {}): Value {
  return reduce(maxOp, x, options);
}
const maxOp = reduction("ReduceMax", (dy, y) => {
  const [x] = y.inputs;
  const shape = kept(x!, y.attrs.axes);
  const isMax = cast(equal(x!, reshape(y, shape)), x!.dtype);
  const share = div(isMax, reduceSum(isMax, { axis: y.attrs.axes, keepdims: true }));
  return [mul(share, reshape(dy, shape))];
});

function reduce(op: Op<ReduceAttrs>, x: Value, { axis, keepdims = false }: ReduceOptions): Value {
  const axes = normalizeAxes(axis, x.shape.length);
  return axes.length === 0 ? x : apply(op, [x], { axes, keepdims });
}

function reduction(name: string, vjp: NonNullable<Op<ReduceAttrs>["vjp"]>): Op<ReduceAttrs> {
  return {
    name,
    infer: ([x], { axes, keepdims }) => {
      const shape = keepdims ? kept(x!, axes) : x!.shape.filter((_, i) => !axes.includes(i));
      return { dtype: x!.dtype, shape };
    },
    vjp,
    lower: (emit, [x], { attrs: { axes, keepdims } }) => {
      const list = emit.constant(tensor("int64", [axes.length], BigInt64Array.from(axes, BigInt)));
      return emit.node(name, [x!, list], { keepdims: keepdims ? 1 : 0 });
    },
  };
}

/** The shape of x with the reduced axes at length 1. */
function kept(x: Value, axes: readonly number[]) {
  return x.shape.map((n, i) => (axes.includes(i) ? 1 : n));
}
