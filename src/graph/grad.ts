import { sameShape, type Shape, show, sizeOf } from "../tensor/shape.ts";
import { add, addOp, full, gemm, gemmOp, reduceSum, reshape, reshapeOp, scalar } from "./ops/index.ts";
import { reachable, type Value } from "./value.ts";

/**
 * Gradients of a scalar with respect to `targets`, by reverse mode; `undefined` where the loss does not depend on the
 * target. Nothing is computed for values that no target feeds: a frozen layer below the trained ones costs no backward pass.
 */
export function grad(loss: Value, targets: readonly Value[]): (Value | undefined)[] {
  if (loss.shape.length !== 0) throw new Error(`grad needs a scalar loss, but its shape is ${show(loss.shape)}`);
  return vjp([[loss, scalar(1, loss.dtype)]], targets);
}

/** Cotangents of `targets` from pairs of (output, its cotangent): `grad` for outputs of any shape. */
export function vjp(outputs: readonly (readonly [Value, Value])[], targets: readonly Value[]): (Value | undefined)[] {
  const order = reachable(outputs.map(([output]) => output));
  const wanted = new Set(targets);
  const active = new Set<Value>(); // depends on a target
  for (const value of order) if (wanted.has(value) || value.inputs.some((each) => active.has(each))) active.add(value);

  const cotangents = new Map<Value, Value>();
  const receive = (value: Value, cotangent: Value) => {
    if (!active.has(value)) return;
    const dy = sumTo(cotangent, value.shape);
    const previous = cotangents.get(value);
    cotangents.set(value, previous === undefined ? dy : add(previous, dy));
  };
  for (const [output, cotangent] of outputs) receive(output, cotangent);

  for (const value of order.toReversed()) {
    const dy = cotangents.get(value);
    if (dy === undefined || !value.inputs.some((each) => active.has(each))) continue;
    if (value.op.vjp === undefined) throw new Error(`${value.op.name} has no gradient, but a target of grad needs it`);
    for (const [i, cotangent] of value.op.vjp(dy, value).entries())
      if (cotangent !== null) receive(value.inputs[i]!, cotangent);
    if (!wanted.has(value)) cotangents.delete(value);
  }
  return targets.map((target) => cotangents.get(target));
}

/**
 * sum + gradient, written so that the runtime adds inside the matrix product that makes the gradient and can do so in
 * the memory of `sum` itself. Shapes may differ as long as the sizes agree; the result has the shape the product likes.
 */
export function accumulate(sum: (shape: Shape) => Value, gradient: Value): Value {
  if (gradient.op.name === reshapeOp.name) return accumulate(sum, gradient.inputs[0]!);
  const { op, inputs, attrs } = gradient;
  if (op.name === gemmOp.name && inputs.length === 2)
    return gemm(inputs[0]!, inputs[1]!, { ...attrs, c: sum(gradient.shape) });
  if (op.name === addOp.name && sameShape(inputs[0]!.shape, inputs[1]!.shape)) {
    const first = accumulate(sum, inputs[0]!);
    return accumulate((shape) => reshape(first, shape), inputs[1]!);
  }
  return add(sum(gradient.shape), gradient);
}

/** A cotangent summed over the axes along which a value of `shape` was broadcast. */
function sumTo(cotangent: Value, shape: Shape): Value {
  if (sameShape(cotangent.shape, shape)) return cotangent;
  const lead = cotangent.shape.length - shape.length;
  const axes = cotangent.shape.flatMap((n, axis) =>
    axis < lead || (shape[axis - lead] === 1 && n !== 1) ? [axis] : [],
  );
  const isPrefix = axes.every((axis, i) => axis === i);
  if (isPrefix && cotangent.dtype === "float32") {
    // Row sums as a product with ones: multi-threaded, and `accumulate` can add in place.
    const columns = sizeOf(shape);
    const rows = sizeOf(cotangent.shape) / columns;
    return reshape(gemm(full([1, rows], 1), reshape(cotangent, [rows, columns])), shape);
  }
  return reshape(reduceSum(cotangent, { axis: axes, keepdims: true }), shape);
}
