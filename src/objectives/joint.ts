/** Masked image modelling and contrast on one encoder at once: multi-task learning, the baseline of layer-grafted pre-training (section 2.2). */
import * as op from "../graph/ops/index.ts";
import type { Objective, Values } from "./objective.ts";

export interface JointOptions {
  /** Factor on the loss of masked image modelling. */
  readonly mimWeight: number;
  /** Factor on the contrastive loss. */
  readonly clWeight: number;
}

/**
 * The weighted sum of both losses on an encoder they share, each on its own views of an image. The encoder starts as `mim`
 * draws it, position embedding included. Metrics `mim` and `cl` are the losses without factors.
 */
export function joint(mim: Objective, cl: Objective, { mimWeight, clWeight }: JointOptions): Objective {
  if (mim.encoder !== cl.encoder)
    throw new Error(
      `joint training needs one encoder, but ${mim.name} has "${mim.encoder}" and ${cl.name} "${cl.encoder}"`,
    );
  return {
    name: `${mim.name} with ${cl.name}`,
    encoder: cl.encoder,
    fields: { ...mim.fields, ...cl.fields },
    coupled: mim.coupled || cl.coupled,
    followers: [...(mim.followers ?? []), ...(cl.followers ?? [])],
    encode: (p, batch) => ({ ...within("mim.", mim.encode(p, batch)), ...within("cl.", cl.encode(p, batch)) }),
    loss(p, encoded) {
      const first = mim.loss(p, below("mim.", encoded));
      const second = cl.loss(p, below("cl.", encoded));
      return {
        loss: op.add(op.mul(first.loss, mimWeight), op.mul(second.loss, clWeight)),
        metrics: { ...first.metrics, ...second.metrics, mim: first.loss, cl: second.loss },
      };
    },
  };
}

function within(prefix: string, values: Values): Values {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]));
}

function below(prefix: string, values: Values): Values {
  const own = Object.entries(values).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(own.map(([name, value]) => [name.slice(prefix.length), value]));
}
