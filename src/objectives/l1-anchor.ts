/** L1 distance to the weights a stage starts from, on the lower part of the encoder (layer-grafted pre-training of ViT-L). */
import * as z from "zod";
import * as op from "../graph/ops/index.ts";
import { zeros } from "../nn/init.ts";
import { layerOf, type VitConfig } from "../nn/vit.ts";
import type { Objective } from "./objective.ts";

export interface L1AnchorOptions {
  /** Weight of the plain sum of absolute differences (paper, ViT-L: 1e-5). */
  readonly weight: number;
  /** How many blocks are anchored, from the input; the embeddings always are (paper, ViT-L: 12). */
  readonly blocks: number;
}

/** The option of every kind that compares views: what a stage on top of another may need. */
export const anchorOption = z
  .strictObject({ weight: z.number().positive(), blocks: z.int().min(0) })
  .optional()
  .describe("holds the lower blocks near the weights the stage starts from");

/** The objective, held as its options ask for. */
export function anchored(
  objective: Objective,
  { depth }: VitConfig,
  { l1Anchor: anchor }: { readonly l1Anchor?: L1AnchorOptions | undefined },
): Objective {
  return anchor === undefined ? objective : l1Anchor(objective, depth, anchor);
}

/** `objective` with the anchor added to its loss; the metric `task` is the objective's own loss. */
export function l1Anchor(objective: Objective, depth: number, { weight, blocks }: L1AnchorOptions): Objective {
  return {
    ...objective,
    copies: [...(objective.copies ?? []), { source: objective.encoder, target: "l1_anchor." }],
    loss(p, encoded, scalars) {
      const { loss, metrics } = objective.loss(p, encoded, scalars);
      let total = loss;
      const anchored = [...p.variables.values()].filter(
        ({ name, role }) =>
          role === "parameter" && name.startsWith(objective.encoder) && layerOf(name, depth) <= blocks,
      );
      for (const { name, shape, value } of anchored) {
        const anchor = p.constant(`l1_anchor.${name.slice(objective.encoder.length)}`, shape, zeros);
        total = op.add(total, op.mul(op.reduceSum(op.abs(op.sub(value, anchor))), weight));
      }
      return { loss: total, metrics: { ...metrics, task: loss } };
    },
  };
}
