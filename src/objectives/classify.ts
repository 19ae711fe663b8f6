/** Classification, for fine-tuning a whole encoder (MAE's `main_finetune.py`, layer-grafted pre-training's `main_finetune_mae.py`). */
import type { Random } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import { normal } from "../nn/init.ts";
import { linear, norm } from "../nn/layers.ts";
import { softCrossEntropy } from "../nn/losses.ts";
import type { Scope } from "../nn/scope.ts";
import { encode, type Observer, patchCount, patches, type VitConfig } from "../nn/vit.ts";
import { bare } from "./heads.ts";
import type { Objective, Values } from "./objective.ts";

export interface ClassifyOptions {
  readonly classes: number;
  /** What is classified: the class token after the final norm, or the mean of the patches after a norm of its own (MAE). */
  readonly pooling: "cls" | "mean";
  /** How often the last block's branches are left out, in [0, 1); linear in depth, 0 at the first block. */
  readonly dropPath: number;
  /** Width of a projector's first layer that stays between encoder and classifier (the released code's `tuneFromFirstFC`). */
  readonly firstLayer?: number;
}

/**
 * Batch fields: `images` [B, 3, S, S], `targets` [B, C], each row a distribution over the classes, and with drop path
 * `dropPath` [B, 2 · depth], see `drawDropPath`. Names are timm's: `head.*`, and `fc_norm.*` in place of `norm.*` where
 * patches are averaged; with a first layer `head.0.weight`, as the projector has it, and `head.1.*`.
 */
export function classify(model: VitConfig, options: ClassifyOptions): Objective {
  const { imageSize, depth } = model;
  return {
    name: "classify",
    encoder: "",
    tokens: 1 + patchCount(model),
    coupled: false,
    fields: {
      images: [3, imageSize, imageSize],
      targets: [options.classes],
      ...(options.dropPath > 0 ? { dropPath: [2 * depth] } : {}),
    },
    encode: (p, batch) => ({ logits: logits(p, model, options, batch), targets: batch["targets"]! }),
    loss(_, encoded) {
      const [logits, targets] = [encoded["logits"]!, encoded["targets"]!];
      const isHit = op.equal(op.topK(logits, 1).indices, op.topK(targets, 1).indices);
      return {
        loss: softCrossEntropy(logits, targets),
        metrics: { accuracy: op.reduceMean(op.cast(isHit, "float32")) },
      };
    },
  };
}

/**
 * Scores of the classes [B, C] for `images`; without `dropPath` all branches count, as in evaluation. An `observe` sees
 * all tokens up to the last block, which costs more than the class token alone.
 */
export function logits(
  p: Scope,
  model: VitConfig,
  { classes, pooling, firstLayer }: Omit<ClassifyOptions, "dropPath">,
  { images, dropPath }: Values,
  observe?: Observer,
): Value {
  const branches = dropPath === undefined ? {} : { branches: dropPath };
  const watched = observe === undefined ? {} : { observe };
  const asked = pooling === "mean" ? { finalNorm: false } : observe === undefined ? ({ tokens: "cls" } as const) : {};
  const tokens = encode(p, model, patches(images!, model.patchSize), {
    lineage: "mae",
    ...asked,
    ...branches,
    ...watched,
  });
  const [batch, count, width] = tokens.shape as [number, number, number];
  const feature =
    pooling === "cls"
      ? op.reshape(op.slice(tokens, 1, 0, 1), [batch, width])
      : norm(p.at("fc_norm"), op.reduceMean(op.slice(tokens, 1, 1, count), { axis: 1 }));
  const head = p.at("head");
  // timm cuts the normal distribution at ±2, which is 100,000 deviations here
  const classifier = { weightInit: normal(2e-5) };
  return firstLayer === undefined
    ? linear(head, feature, classes, classifier)
    : linear(head.at("1"), bare(head.at("0"), feature, firstLayer), classes, classifier);
}

/**
 * Drop path (Huang et al., "Deep networks with stochastic depth", ECCV 2016) as data: for every sample and branch 0 with
 * the branch's probability, else 1 / (1 - probability). [B, 2 · depth]: attention and MLP of block 0, of block 1, …
 */
export function drawDropPath(random: Random, batch: number, depth: number, rate: number): Tensor<"float32"> {
  const factors = tensor("float32", [batch, 2 * depth]);
  for (let i = 0; i < factors.data.length; i++) {
    const block = Math.floor((i % (2 * depth)) / 2);
    const probability = (rate * block) / Math.max(1, depth - 1);
    factors.data[i] = random.uniform() < probability ? 0 : 1 / (1 - probability);
  }
  return factors;
}
