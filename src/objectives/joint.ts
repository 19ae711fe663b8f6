/** Masked image modelling and contrast on one encoder at once: multi-task learning, the baseline of layer-grafted pre-training (section 2.2). */
import * as z from "zod";
import * as op from "../graph/ops/index.ts";
import type { Scope } from "../nn/scope.ts";
import type { VitConfig } from "../nn/vit.ts";
import type { Objective, ObjectiveKind, Values } from "./objective.ts";

/** `create` makes an objective of what either schema has checked. */
export function jointKind<M extends z.ZodType, C extends z.ZodType>(
  mim: M,
  cl: C,
  create: (model: VitConfig, spec: z.infer<M> | z.infer<C>, encoder?: string) => Objective,
) {
  const weight = z.number().positive().default(1);
  const schema = z.strictObject({
    kind: z.literal("joint"),
    mim,
    cl,
    mimWeight: weight.describe("factor on the loss of masked image modelling"),
    clWeight: weight.describe("factor on the contrastive loss"),
  });
  return {
    schema,
    family: "joint",
    create(model, options) {
      // while M and C are open, the compiler does not see what the schema makes of them
      const { mim, cl, mimWeight, clWeight } = options as unknown as JointSpec<M, C>;
      const contrast = create(model, cl);
      return joint(create(model, mim, contrast.encoder), contrast, { mimWeight, clWeight });
    },
  } as const satisfies ObjectiveKind<typeof schema>;
}

interface JointSpec<M, C> extends JointOptions {
  readonly mim: z.infer<M>;
  readonly cl: z.infer<C>;
}

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
  if (mim.coupled) throw new Error(`${mim.name} couples the samples of a batch, so it is no masked image modelling`);
  if (mim.encoder !== cl.encoder)
    throw new Error(
      `joint training needs one encoder, but ${mim.name} has "${mim.encoder}" and ${cl.name} "${cl.encoder}"`,
    );
  return {
    name: `${mim.name} with ${cl.name}`,
    encoder: cl.encoder,
    decoder: mim.decoder,
    fields: { ...mim.fields, ...cl.fields },
    tokens: mim.tokens + cl.tokens,
    coupled: cl.coupled,
    copies: [...(mim.copies ?? []), ...(cl.copies ?? [])],
    schedules: { ...mim.schedules, ...cl.schedules },
    encode: (p, batch, scalars) => ({
      ...within("mim.", perSample(mim, p, batch, scalars)),
      ...within("cl.", cl.encode(p, batch, scalars)),
    }),
    loss(p, encoded, scalars) {
      const first = op.reduceMean(encoded["mim.loss"]!);
      const second = cl.loss(p, below("cl.", encoded), scalars);
      return {
        loss: op.add(op.mul(first, mimWeight), op.mul(second.loss, clWeight)),
        metrics: { ...second.metrics, mim: first, cl: second.loss },
      };
    },
  };
}

/** The loss of a mean over samples, a number for each [B]: so no reconstruction of a whole batch is kept. */
function perSample(mim: Objective, p: Scope, batch: Values, scalars: Values): Values {
  const { loss } = mim.loss(p, mim.encode(p, batch, scalars), scalars);
  return { loss: op.expand(loss, [Object.values(batch)[0]!.shape[0]!]) };
}

function within(prefix: string, values: Values): Values {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]));
}

function below(prefix: string, values: Values): Values {
  const own = Object.entries(values).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(own.map(([name, value]) => [name.slice(prefix.length), value]));
}
