/** What the methods that compare two views share: features, what is put on top of them, and a watch over them. */
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import { torchDefault } from "../nn/init.ts";
import { batchNorm, linear } from "../nn/layers.ts";
import { l2Normalize } from "../nn/losses.ts";
import type { Scope } from "../nn/scope.ts";
import { encode, patches, type VitConfig } from "../nn/vit.ts";
import type { Values } from "./objective.ts";

/**
 * Class tokens of both views, each [B, 3, H, W], in one pass: [2B, 1, D]. The head on top of them must start with a
 * linear layer and batch normalisation. That removes whatever constant the features share: the gradient of the final
 * norm's bias is exactly zero. Computed, it would be rounding noise that Adam turns into full-size steps.
 */
export function classTokens(p: Scope, model: VitConfig, { view1, view2 }: Values): Value {
  const pixels = op.concat([patches(view1!, model.patchSize), patches(view2!, model.patchSize)], 0);
  return encode(p, model, pixels, { lineage: "mocov3", tokens: "cls", fixedNormBias: true });
}

/** Class tokens of both views [2B, 1, D] → [2, B, D]: batch normalisation then sees each view by itself. */
export function byView(x: Value): Value {
  return op.reshape(x, [2, x.shape[0]! / 2, x.shape[2]!]);
}

/** One view of [2, B, D] → [B, D]. */
export function view(x: Value, i: 0 | 1): Value {
  return op.reshape(op.slice(x, 0, i, i + 1), x.shape.slice(1));
}

/** Linear, BN, ReLU, Linear, BN, ReLU, Linear, BN without affine: [2, B, D] → [2, B, dim]. No linear has a bias. */
export function projector(p: Scope, x: Value, mlpDim: number, dim: number): Value {
  const first = op.relu(batchNorm(p.at("1"), bare(p.at("0"), x, mlpDim)));
  const second = op.relu(batchNorm(p.at("4"), bare(p.at("3"), first, mlpDim)));
  return batchNorm(p.at("7"), bare(p.at("6"), second, dim), { affine: false });
}

/** Linear, BN, ReLU, Linear, BN without affine: [2, B, dim] → [2, B, dim]. */
export function predictor(p: Scope, x: Value, mlpDim: number): Value {
  const hidden = op.relu(batchNorm(p.at("1"), bare(p.at("0"), x, mlpDim)));
  return batchNorm(p.at("4"), bare(p.at("3"), hidden, x.shape.at(-1)!), { affine: false });
}

/** Linear without a bias, from PyTorch's default values: [..., in] → [..., out]. */
export function bare(p: Scope, x: Value, out: number): Value {
  return linear(p, x, out, { bias: false, weightInit: torchDefault(x.shape.at(-1)!) });
}

/** Mean standard deviation of the unit-length features times sqrt(width): 1 when spread evenly, 0 when collapsed. */
export function spread(features: Value): Value {
  const width = features.shape.at(-1)!;
  const unit = l2Normalize(op.reshape(op.stopGradient(features), [-1, width]));
  const centered = op.sub(unit, op.reduceMean(unit, { axis: 0, keepdims: true }));
  const variance = op.reduceMean(op.mul(centered, centered), { axis: 0 });
  return op.mul(op.reduceMean(op.sqrt(variance)), Math.sqrt(width));
}
