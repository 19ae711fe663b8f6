/** Compositions that the runtime has as one kernel. Each earns its place by the step time it saves. */
import { normalizeAxis, show, sizeOf } from "../../tensor/shape.ts";
import { tensor } from "../../tensor/tensor.ts";
import { apply, type Op, type Value } from "../value.ts";
import { add, div, erf, exp, mul, sub } from "./elementwise.ts";
import { reshape } from "./movement.ts";
import { reduceMean, reduceSum } from "./reduce.ts";
import { item } from "./source.ts";

/** exp(x) / sum exp(x) along an axis. */
export function softmax(x: Value, axis = -1): Value {
  return apply(softmaxOp, [x], { axis: normalizeAxis(axis, x.shape.length) });
}
const softmaxOp: Op<{ axis: number }> = {
  name: "Softmax",
  infer: ([x]) => x!,
  // dx = y (dy - sum(dy y))
  vjp: (dy, y) => [mul(y, sub(dy, reduceSum(mul(dy, y), { axis: y.attrs.axis, keepdims: true })))],
};

/** log(softmax(x)), without overflow. */
export function logSoftmax(x: Value, axis = -1): Value {
  return apply(logSoftmaxOp, [x], { axis: normalizeAxis(axis, x.shape.length) });
}
const logSoftmaxOp: Op<{ axis: number }> = {
  name: "LogSoftmax",
  infer: ([x]) => x!,
  // dx = dy - softmax(x) sum(dy)
  vjp: (dy, y) => [sub(dy, mul(exp(y), reduceSum(dy, { axis: y.attrs.axis, keepdims: true })))],
  lower: (emit, [x], { attrs: { axis } }) => {
    if (emit.target !== "device") return emit.node("LogSoftmax", [x!], { axis });
    // x - max - log(sum(exp(x - max)))
    const along = emit.constant(tensor("int64", [1], BigInt64Array.of(BigInt(axis))));
    const shifted = emit.node("Sub", [x!, emit.node("ReduceMax", [x!, along], { keepdims: 1 })]);
    const sum = emit.node("ReduceSum", [emit.node("Exp", [shifted]), along], { keepdims: 1 });
    return emit.node("Sub", [shifted, emit.node("Log", [sum])]);
  },
};

/** Gaussian error linear unit x Φ(x), the exact form with erf. */
export function gelu(x: Value): Value {
  return apply(geluOp, [x], {});
}
const geluOp: Op = {
  name: "Gelu",
  infer: ([x]) => x!,
  // d(x Φ(x)) = (Φ(x) + x φ(x)) dx, with u = x/√2: Φ(x) = (1 + erf(u))/2 and x φ(x) = u/exp(u²)/√π, which is 0 where exp
  // overflows. Every operation is a pass over memory.
  vjp: (dy, { inputs: [x] }) => {
    const u = mul(x!, Math.SQRT1_2);
    const cumulative = mul(add(erf(u), 1), 0.5);
    return [mul(dy, add(cumulative, mul(div(u, exp(mul(u, u))), 1 / Math.sqrt(Math.PI))))];
  },
  // The operator is younger than the runtimes that an export is read by, which know this form and fuse it.
  lower: (emit, [x], { dtype }) => {
    if (emit.target !== "standard" || dtype !== "float32") return emit.node("Gelu", [x!]);
    const number = (value: number) => emit.constant(tensor("float32", [], Float32Array.of(value)));
    const inner = emit.node("Erf", [emit.node("Div", [x!, number(Math.SQRT2)])]);
    return emit.node("Mul", [emit.node("Mul", [x!, emit.node("Add", [inner, number(1)])]), number(0.5)]);
  },
};

/** (x - mean) / sqrt(variance + epsilon) · weight + bias over the last axis; weight and bias [D]. */
export function layerNorm(x: Value, weight: Value, bias: Value, epsilon = 1e-6): Value {
  return apply(layerNormOp, [x, weight, bias], { epsilon });
}
const layerNormOp: Op<{ epsilon: number }> = {
  name: "LayerNormalization",
  infer: ([x, weight, bias]) => {
    const width = x!.shape.at(-1);
    for (const parameter of [weight!, bias!])
      if (parameter.shape.length !== 1 || parameter.shape[0] !== width)
        throw new Error(
          `normalises the last axis only: ${show(x!.shape)} needs weight and bias [${width}], but one is ${show(parameter.shape)}`,
        );
    return x!;
  },
  vjp: (dy, y) => {
    const [x, weight] = y.inputs;
    const statistics = [...x!.shape.slice(0, -1), 1];
    const normalized = mul(sub(x!, item(y, 1, statistics)), item(y, 2, statistics));
    const g = mul(dy, weight!);
    const mean = reduceMean(g, { axis: -1, keepdims: true });
    const projection = reduceMean(mul(g, normalized), { axis: -1, keepdims: true });
    const dx = mul(sub(sub(g, mean), mul(normalized, projection)), item(y, 2, statistics));
    return [dx, rows(mul(dy, normalized)), rows(dy)]; // grad sums the rows
  },
  lower: (emit, inputs, { attrs: { epsilon } }) =>
    emit.node("LayerNormalization", inputs, { axis: -1, epsilon: { float: epsilon } }, { results: 3 }),
};

/** [..., D] as [R, D]. */
function rows(x: Value): Value {
  const width = x.shape.at(-1)!;
  return reshape(x, [sizeOf(x.shape) / width, width]);
}
