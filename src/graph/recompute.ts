import { sizeOf } from "../tensor/shape.ts";
import { add, mul, reshape, slice, stopGradient } from "./ops/index.ts";
import { vjp } from "./grad.ts";
import { apply, type Op, reachable, substitute, type Value } from "./value.ts";

/**
 * `y`, of which nothing between `x` and `y` is kept for the backward pass: that computes it again from `x` (gradient
 * checkpointing; Chen et al., "Training deep nets with sublinear memory cost", 2016). The same numbers for a second
 * forward pass.
 */
export function recomputed(y: Value, x: Value): Value {
  const between = descendants(x, y);
  const sources = between.flatMap(({ inputs }) => inputs).filter((each) => each !== x && !between.includes(each));
  return apply(recomputedOp, [y, x, ...new Set(sources)], {});
}

const recomputedOp: Op = {
  name: "Identity",
  infer: ([y]) => y!,
  lower: (_, [y]) => y!, // costs no node
  vjp(dy, { inputs: [y, x, ...sources] }) {
    // The runtime computes a node when all it needs is there: tied to what comes down, it waits for the backward pass.
    const first = reshape(slice(reshape(dy, [sizeOf(dy.shape)]), 0, 0, 1), []);
    const again = add(x!, stopGradient(mul(first, 0)));
    const [copy] = substitute([y!], new Map([[x!, again]]));
    const cotangents = vjp([[copy!, dy]], [again, ...sources]);
    return [null, ...cotangents.map((each) => each ?? null)];
  },
};

/** Values that depend on `x` and that `y` depends on, `y` included, inputs before users. */
function descendants(x: Value, y: Value): Value[] {
  const found = new Set<Value>();
  for (const value of reachable([y])) if (value.inputs.some((each) => each === x || found.has(each))) found.add(value);
  return [...found];
}
