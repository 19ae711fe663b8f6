/** What is done to a training state on a device, as graphs of our own operations. */
import type { Shape } from "../tensor/shape.ts";
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import type { AdamWOptions, Handle, Pair, Update } from "./backend.ts";

export function sumOfSquares(places: readonly (readonly [string, Handle])[]): Value {
  const sums = places.map(([name, { shape }]) => {
    const x = op.input(name, "float32", shape);
    const squares = op.mul(x, x);
    return op.reduceSum(shape.length > 1 ? op.reduceSum(squares, { axis: -1 }) : squares); // rows first: see docs
  });
  return sums.reduce((sum, each) => op.add(sum, each));
}

/** AdamW as in `assembly/optimizer.ts`: its scalars are computed in double precision and rounded once. */
export function adamw(
  variables: readonly { readonly name: string; readonly shape: Shape }[],
  { betas: [beta1, beta2], epsilon, weightDecay }: AdamWOptions,
  treatments: Update["treatments"],
): Record<string, Value> {
  const scalar = (name: string) => op.input(`at.${name}`, "float32", []);
  const [rate, stepSize, root, scale] = ["rate", "stepSize", "root", "scale"].map(scalar) as [
    Value,
    Value,
    Value,
    Value,
  ];
  const moved = variables.flatMap(({ name, shape }) => {
    const { rate: factor, decay } = treatments.get(name)!;
    const [w, g, m, v] = ["w", "g", "m", "v"].map((each) => op.input(`from.${each}.${name}`, "float32", shape)) as [
      Value,
      Value,
      Value,
      Value,
    ];
    const gradient = op.mul(g, scale);
    const first = op.add(op.mul(m, beta1), op.mul(gradient, 1 - beta1));
    const second = op.add(op.mul(v, beta2), op.mul(op.mul(gradient, gradient), 1 - beta2));
    const step = op.div(op.mul(first, op.mul(stepSize, factor)), op.add(op.mul(op.sqrt(second), root), epsilon));
    const kept = decay && weightDecay !== 0 ? op.mul(w, op.sub(1, op.mul(rate, factor * weightDecay))) : w;
    return [
      [`w.${name}`, op.sub(kept, step)],
      [`m.${name}`, first],
      [`v.${name}`, second],
    ] as const;
  });
  return Object.fromEntries(moved);
}

export function averages(pairs: readonly Pair[], shapeOf: (name: string) => Shape): Record<string, Value> {
  const [keep, take] = [op.input("at.keep", "float32", []), op.input("at.take", "float32", [])];
  const moved = pairs.map(({ target }) => {
    const [slow, fast] = ["target", "source"].map((each) => op.input(`${each}.${target}`, "float32", shapeOf(target)));
    return [target, op.add(op.mul(slow!, keep), op.mul(fast!, take))] as const;
  });
  return Object.fromEntries(moved);
}
