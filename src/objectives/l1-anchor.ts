/** L1 distance to the weights a stage starts from, on the lower part of the encoder (layer-grafted pre-training of ViT-L). */
import * as op from "../graph/ops/index.ts";
import { zeros } from "../nn/init.ts";
import { layerOf } from "../nn/vit.ts";
import type { Objective } from "./objective.ts";

export interface L1AnchorOptions {
  /** Weight of the plain sum of absolute differences (paper, ViT-L: 1e-5). */
  readonly weight: number;
  /** How many blocks are anchored, from the input; the embeddings always are (paper, ViT-L: 12). */
  readonly blocks: number;
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
