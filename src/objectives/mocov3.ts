/** MoCo v3 (Chen, Xie and He, ICCV 2021): contrast between two views, keys from a momentum encoder. */
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import { torchDefault } from "../nn/init.ts";
import { batchNorm, linear } from "../nn/layers.ts";
import { infoNCE, l2Normalize } from "../nn/losses.ts";
import type { Scope } from "../nn/scope.ts";
import { encode, patchCount, patches, visiblePatches, type VitConfig } from "../nn/vit.ts";
import type { Objective } from "./objective.ts";

export interface MocoV3Options {
  /** Hidden width of projector and predictor (paper: 4096). */
  readonly mlpDim: number;
  /** Width of the space of contrast (paper: 256). */
  readonly dim: number;
  readonly temperature: number;
  /** Momentum of the key encoder at the start; it rises to 1 on a half cosine. */
  readonly momentum: number;
  readonly patchDrop?: PatchDrop | undefined;
}

/** Contrast of images that are seen in part. */
export interface PatchDrop {
  /** Share of patches that are left out (paper's variants: 0.75). */
  readonly ratio: number;
  /**
   * What the key encoder sees of a view: the `same` patches as the query encoder (the released code's `mae_aug`), or `all`
   * of them (contrastive MAE; the released code contrasts only one direction, here both directions count).
   */
  readonly keys: "same" | "all";
}

/** Batch fields: `view1` and `view2` [B, 3, H, W]; with patch dropping `noise1` and `noise2` [B, L], as in MAE. */
export function mocov3(model: VitConfig, options: MocoV3Options): Objective {
  const { mlpDim, dim, temperature, momentum, patchDrop } = options;
  const image = [3, model.imageSize, model.imageSize];
  const noise = [patchCount(model)];
  return {
    name: "mocov3",
    encoder: "base_encoder.",
    coupled: true,
    fields: { view1: image, view2: image, ...(patchDrop === undefined ? {} : { noise1: noise, noise2: noise }) },
    followers: [
      {
        source: "base_encoder.",
        target: "momentum_encoder.",
        momentum: (progress) => 1 - 0.5 * (1 + Math.cos(Math.PI * progress)) * (1 - momentum),
      },
    ],
    encode(p, { view1, view2, noise1, noise2 }) {
      const pixels = op.concat([patches(view1!, model.patchSize), patches(view2!, model.patchSize)], 0);
      // The projector's first batch norm removes whatever constant the features share: the gradient of the final norm's
      // bias is exactly zero. Computed, it would be rounding noise that Adam turns into full-size steps.
      const whole = { lineage: "mocov3", tokens: "cls", fixedNormBias: true } as const;
      const part =
        patchDrop === undefined
          ? whole
          : { ...whole, keep: visiblePatches(op.concat([noise1!, noise2!], 0), patchDrop.ratio).kept };
      const queries = encode(p.at("base_encoder"), model, pixels, part);
      const keys = encode(p.at("momentum_encoder"), model, pixels, patchDrop?.keys === "all" ? whole : part);
      return { queries, keys: op.stopGradient(keys) };
    },
    loss(p, encoded) {
      // [2B, 1, D] → [2, B, D]: batch normalisation sees each view by itself
      const byView = (x: Value) => op.reshape(x, [2, x.shape[0]! / 2, x.shape[2]!]);
      const projected = projector(p.at("base_encoder.head"), byView(encoded["queries"]!), mlpDim, dim);
      const queries = l2Normalize(predictor(p.at("predictor"), projected, mlpDim));
      const target = projector(p.at("momentum_encoder.head"), byView(encoded["keys"]!), mlpDim, dim);
      const keys = op.stopGradient(l2Normalize(target));
      const view = (x: Value, i: number) => op.reshape(op.slice(x, 0, i, i + 1), x.shape.slice(1));
      const contrast = op.add(
        infoNCE(view(queries, 0), view(keys, 1), temperature),
        infoNCE(view(queries, 1), view(keys, 0), temperature),
      );
      return { loss: op.mul(contrast, 2 * temperature), metrics: { featureStd: spread(encoded["queries"]!) } };
    },
  };
}

/** Linear, BN, ReLU, Linear, BN, ReLU, Linear, BN without affine: [2, B, D] → [2, B, dim]. No linear has a bias. */
function projector(p: Scope, x: Value, mlpDim: number, dim: number): Value {
  const first = op.relu(batchNorm(p.at("1"), bare(p.at("0"), x, mlpDim)));
  const second = op.relu(batchNorm(p.at("4"), bare(p.at("3"), first, mlpDim)));
  return batchNorm(p.at("7"), bare(p.at("6"), second, dim), { affine: false });
}

/** Linear, BN, ReLU, Linear, BN without affine: [2, B, dim] → [2, B, dim]. */
function predictor(p: Scope, x: Value, mlpDim: number): Value {
  const hidden = op.relu(batchNorm(p.at("1"), bare(p.at("0"), x, mlpDim)));
  return batchNorm(p.at("4"), bare(p.at("3"), hidden, x.shape.at(-1)!), { affine: false });
}

function bare(p: Scope, x: Value, out: number): Value {
  return linear(p, x, out, { bias: false, weightInit: torchDefault(x.shape.at(-1)!) });
}

/** Mean standard deviation of the unit-length features times sqrt(width): 1 when spread evenly, 0 when collapsed. */
function spread(features: Value): Value {
  const width = features.shape.at(-1)!;
  const unit = l2Normalize(op.reshape(op.stopGradient(features), [-1, width]));
  const centered = op.sub(unit, op.reduceMean(unit, { axis: 0, keepdims: true }));
  const variance = op.reduceMean(op.mul(centered, centered), { axis: 0 });
  return op.mul(op.reduceMean(op.sqrt(variance)), Math.sqrt(width));
}
