import { sameShape, type Shape, show, sizeOf } from "../tensor/shape.ts";
import { add, addOp, concat, full, gemm, gemmOp, padOp, reduceSum, reshape, reshapeOp, scalar } from "./ops/index.ts";
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

  const received = new Map<Value, Value[]>();
  const receive = (value: Value, cotangent: Value) => {
    if (!active.has(value)) return;
    const dy = sumTo(cotangent, value.shape);
    const others = received.get(value);
    if (others === undefined) received.set(value, [dy]);
    else others.push(dy);
  };
  for (const [output, cotangent] of outputs) receive(output, cotangent);

  for (const value of order.toReversed()) {
    const parts = received.get(value);
    if (parts === undefined || !value.inputs.some((each) => active.has(each))) continue;
    const dy = sumOf(parts);
    if (value.op.vjp === undefined) throw new Error(`${value.op.name} has no gradient, but a target of grad needs it`);
    for (const [i, cotangent] of value.op.vjp(dy, value).entries())
      if (cotangent !== null) receive(value.inputs[i]!, cotangent);
    if (wanted.has(value)) received.set(value, [dy]);
    else received.delete(value);
  }
  for (const target of wanted) {
    const parts = received.get(target);
    if (parts !== undefined) received.set(target, [sumOf(parts)]);
  }
  return targets.map((target) => received.get(target)?.[0]);
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
  if (op.name === gemmOp.name && sameShape(inputs[2]!.shape, gradient.shape)) {
    const first = accumulate(sum, inputs[2]!);
    return gemm(inputs[0]!, inputs[1]!, { ...attrs, c: reshape(first, gradient.shape) });
  }
  if (op.name === addOp.name && sameShape(inputs[0]!.shape, inputs[1]!.shape)) {
    const first = accumulate(sum, inputs[0]!);
    return accumulate((shape) => reshape(first, shape), inputs[1]!);
  }
  return add(sum(gradient.shape), gradient);
}

/** The sum of values of one shape, in as few passes as it takes. */
function sumOf(parts: readonly Value[]): Value {
  const joined = joinedSlices(parts);
  if (joined !== undefined) return joined;
  // Products add to what is there: what is none goes first.
  const [first, ...others] = parts.toSorted((a, b) => Number(isProduct(a)) - Number(isProduct(b))) as [
    Value,
    ...Value[],
  ];
  const plus = (sum: Value, part: Value) =>
    isProduct(part)
      ? reshape(
          accumulate((shape) => reshape(sum, shape), part),
          sum.shape,
        )
      : add(sum, part);
  return others.reduce(plus, first);
}

function isProduct({ op, inputs }: Value): boolean {
  return op.name === gemmOp.name ? inputs.length === 2 : op.name === reshapeOp.name && isProduct(inputs[0]!);
}

/** The sum of the gradients of slices that lie side by side and make up the whole: joined, without the zeros around them. */
function joinedSlices(parts: readonly Value[]): Value | undefined {
  if (parts.length < 2 || !parts.every(({ op }) => op.name === padOp.name)) return undefined;
  const pads = parts as readonly Value<{ axis: number; start: number; length: number }>[];
  const { axis, length } = pads[0]!.attrs;
  const slices = new Map<string, Value[]>(); // by the place
  for (const { attrs, inputs } of pads) {
    const place = `${attrs.axis} ${attrs.start} ${inputs[0]!.shape[axis]}`;
    slices.set(place, [...(slices.get(place) ?? []), inputs[0]!]);
  }
  const places = [...slices.keys()].map((place) => place.split(" ").map(Number) as [number, number, number]);
  let end = 0;
  for (const [on, start, size] of places.sort(([, a], [, b]) => a - b)) {
    if (on !== axis || start !== end) return undefined;
    end += size;
  }
  return end === length
    ? concat(
        places.map((place) => sumOf(slices.get(place.join(" "))!)),
        axis,
      )
    : undefined;
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
