import type { DType } from "../../tensor/dtype.ts";
import { broadcast } from "../../tensor/shape.ts";
import { tensor } from "../../tensor/tensor.ts";
import { apply, type Op, type Type, type Value } from "../value.ts";
import { castTo, deviceType, truncated } from "./device.ts";
import { scalar } from "./source.ts";

/** A value, or a number that becomes a scalar of the other operand's type. */
export type Operand = Value | number;

/** a + b, broadcast. */
export function add(a: Operand, b: Operand): Value {
  return apply(addOp, pair(a, b), {});
}
export const addOp: Op = { name: "Add", infer: broadcastTypes, vjp: (dy) => [dy, dy] };

/** a - b, broadcast. */
export function sub(a: Operand, b: Operand): Value {
  return apply(subOp, pair(a, b), {});
}
const subOp: Op = { name: "Sub", infer: broadcastTypes, vjp: (dy) => [dy, neg(dy)] };

/** a * b, broadcast. */
export function mul(a: Operand, b: Operand): Value {
  return apply(mulOp, pair(a, b), {});
}
const mulOp: Op = {
  name: "Mul",
  infer: broadcastTypes,
  vjp: (dy, { inputs: [a, b] }) => [mul(dy, b!), mul(dy, a!)],
};

/** a / b, broadcast. */
export function div(a: Operand, b: Operand): Value {
  return apply(divOp, pair(a, b), {});
}
const divOp: Op = {
  name: "Div",
  infer: broadcastTypes,
  vjp: (dy, y) => {
    // d(a/b) = da/b - (a/b) db/b
    const scaled = div(dy, y.inputs[1]!);
    return [scaled, neg(mul(scaled, y))];
  },
  lower: (emit, inputs, y) => {
    const quotient = emit.node("Div", inputs);
    return emit.target === "device" && !isFloat(y.dtype) ? truncated(emit, quotient) : quotient;
  },
};

/** The larger of a and b, broadcast; where they are equal, a receives the gradient. */
export function maximum(a: Operand, b: Operand): Value {
  return apply(maximumOp, pair(a, b), {});
}
const maximumOp: Op = {
  name: "Max",
  infer: broadcastTypes,
  vjp: (dy, { inputs: [a, b] }) => [where(less(a!, b!), 0, dy), where(less(a!, b!), dy, 0)],
};

/** -x */
export function neg(x: Value): Value {
  return apply(negOp, [x], {});
}
const negOp: Op = { name: "Neg", infer: same, vjp: (dy) => [neg(dy)] };

/** e ** x */
export function exp(x: Value): Value {
  return apply(expOp, [x], {});
}
const expOp: Op = { name: "Exp", infer: same, vjp: (dy, y) => [mul(dy, y)] };

/** Natural logarithm. */
export function log(x: Value): Value {
  return apply(logOp, [x], {});
}
const logOp: Op = { name: "Log", infer: same, vjp: (dy, { inputs: [x] }) => [div(dy, x!)] };

export function sqrt(x: Value): Value {
  return apply(sqrtOp, [x], {});
}
const sqrtOp: Op = { name: "Sqrt", infer: same, vjp: (dy, y) => [div(dy, mul(y, 2))] }; // d sqrt(x) = dx / (2 sqrt(x))

/** Gauss error function. */
export function erf(x: Value): Value {
  return apply(erfOp, [x], {});
}
const erfOp: Op = {
  name: "Erf",
  infer: same,
  // d erf(x) = 2/sqrt(pi) exp(-x^2) dx
  vjp: (dy, { inputs: [x] }) => [mul(mul(dy, 2 / Math.sqrt(Math.PI)), exp(neg(mul(x!, x!))))],
};

/** max(x, 0); the gradient at 0 is 0. */
export function relu(x: Value): Value {
  return apply(reluOp, [x], {});
}
const reluOp: Op = { name: "Relu", infer: same, vjp: (dy, y) => [where(less(0, y), dy, 0)] };

/** |x|; the gradient at 0 is 0. */
export function abs(x: Value): Value {
  return apply(absOp, [x], {});
}
const absOp: Op = { name: "Abs", infer: same, vjp: (dy, { inputs: [x] }) => [mul(dy, sign(x!))] };

/** -1, 0 or 1. Piecewise constant: no gradient flows. */
export function sign(x: Value): Value {
  return apply(signOp, [x], {});
}
const signOp: Op = {
  name: "Sign",
  infer: same,
  vjp: () => [null],
  lower: (emit, [x]) => {
    if (emit.target !== "device") return emit.node("Sign", [x!]);
    const zero = emit.constant(tensor("float32", [], Float32Array.of(0)));
    const [above, below] = [emit.node("Less", [zero, x!]), emit.node("Less", [x!, zero])];
    return emit.node("Sub", [castTo(emit, above, "float32"), castTo(emit, below, "float32")]);
  },
};

/** a < b, broadcast, as bool. */
export function less(a: Operand, b: Operand): Value {
  return apply(lessOp, pair(a, b), {});
}
const lessOp: Op = { name: "Less", infer: compareTypes, vjp: () => [null, null] };

/** a == b, broadcast, as bool. */
export function equal(a: Operand, b: Operand): Value {
  return apply(equalOp, pair(a, b), {});
}
const equalOp: Op = {
  name: "Equal",
  infer: compareTypes,
  vjp: () => [null, null],
  lower: (emit, inputs, { inputs: [a] }) => {
    const asNumbers = emit.target === "device" && a!.dtype === "bool"; // a device compares numbers alone
    return emit.node("Equal", asNumbers ? inputs.map((each) => castTo(emit, each, "float32")) : inputs);
  },
};

/** a where the bool `condition` holds, else b; broadcast. */
export function where(condition: Value, a: Operand, b: Operand): Value {
  return apply(whereOp, [condition, ...pair(a, b)], {});
}
const whereOp: Op = {
  name: "Where",
  infer: ([condition, a, b]) => {
    if (condition!.dtype !== "bool") throw new Error(`the condition must be bool, but is ${condition!.dtype}`);
    const branches = broadcastTypes([a!, b!]);
    return { dtype: branches.dtype, shape: broadcast(condition!.shape, branches.shape) };
  },
  vjp: (dy, { inputs: [condition] }) => [null, where(condition!, dy, 0), where(condition!, 0, dy)],
};

/** x in another element type. Gradients pass between floating-point types only. */
export function cast(x: Value, dtype: DType): Value {
  return x.dtype === dtype ? x : apply(castOp, [x], { dtype });
}
const castOp: Op<{ dtype: DType }> = {
  name: "Cast",
  infer: ([x], { dtype }) => ({ dtype, shape: x!.shape }),
  vjp: (dy, { inputs: [x] }) => [isFloat(x!.dtype) ? cast(dy, x!.dtype) : null],
  lower: (emit, [name], { attrs: { dtype }, inputs: [x] }) => {
    if (emit.target !== "device") return castTo(emit, name!, dtype);
    if (deviceType(dtype) !== deviceType(x!.dtype)) return castTo(emit, name!, deviceType(dtype));
    return isFloat(x!.dtype) && !isFloat(dtype) ? truncated(emit, name!) : name!;
  },
};

function pair(a: Operand, b: Operand): [Value, Value] {
  if (typeof a === "number" && typeof b === "number") throw new Error("one of the two operands must be a Value");
  const dtype = typeof a === "number" ? (b as Value).dtype : a.dtype;
  return [typeof a === "number" ? scalar(a, dtype) : a, typeof b === "number" ? scalar(b, dtype) : b];
}

function isFloat(dtype: DType): boolean {
  return dtype.startsWith("float");
}

function same([x]: readonly Value[]): Type {
  return x!;
}

function broadcastTypes([a, b]: readonly Value[]): Type {
  if (a!.dtype !== b!.dtype) throw new Error(`element types differ: ${a!.dtype} and ${b!.dtype}`);
  return { dtype: a!.dtype, shape: broadcast(a!.shape, b!.shape) };
}

function compareTypes(inputs: readonly Value[]): Type {
  return { ...broadcastTypes(inputs), dtype: "bool" };
}
