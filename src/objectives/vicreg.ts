/** VICReg (Bardes, Ponce and LeCun, ICLR 2022): two views agree, every channel varies, no two channels say the same. No negatives. */
import * as z from "zod";
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import { torchDefault } from "../nn/init.ts";
import { batchNorm, linear } from "../nn/layers.ts";
import type { Scope } from "../nn/scope.ts";
import { patchCount, type VitConfig } from "../nn/vit.ts";
import { bare, byView, classTokens, spread, view } from "./heads.ts";
import { anchored, anchorOption } from "./l1-anchor.ts";
import type { Objective, ObjectiveKind } from "./objective.ts";
import { positive } from "./options.ts";

const schema = z.strictObject({
  kind: z.literal("vicreg"),
  mlpDim: positive.default(8192),
  dim: positive.default(8192),
  invariance: z.number().min(0).default(25).describe("weight of the distance between two views"),
  variance: z.number().min(0).default(25).describe("weight of the hinge that keeps every number's deviation above 1"),
  covariance: z.number().min(0).default(1).describe("weight of the covariances between numbers"),
  l1Anchor: anchorOption,
});

export const vicregKind = {
  schema,
  family: "cl",
  create: (model, options) => anchored(vicreg(model, options), model, options),
} as const satisfies ObjectiveKind<typeof schema>;

export interface VicregOptions {
  /** Hidden width of the expander (paper: 8192). */
  readonly mlpDim: number;
  /** Width of the embedding (paper: 8192). */
  readonly dim: number;
  /** Weight of the invariance term (paper: 25). */
  readonly invariance: number;
  /** Weight of the variance term (paper: 25). */
  readonly variance: number;
  /** Weight of the covariance term (paper: 1). */
  readonly covariance: number;
}

/**
 * Batch fields: `view1` and `view2` [B, 3, H, W]. The metrics `invariance`, `variance` and `covariance` are the terms
 * without their weights.
 */
export function vicreg(model: VitConfig, options: VicregOptions): Objective {
  const image = [3, model.imageSize, model.imageSize];
  return {
    name: "vicreg",
    encoder: "base_encoder.",
    tokens: 2 * (1 + patchCount(model)),
    coupled: true,
    fields: { view1: image, view2: image },
    encode: (p, batch) => ({ features: classTokens(p.at("base_encoder"), model, batch) }),
    loss(p, encoded) {
      const features = encoded["features"]!;
      const found = terms(expander(p.at("base_encoder.head"), byView(features), options.mlpDim, options.dim));
      const { invariance, variance, covariance } = found;
      const agreement = op.mul(invariance, options.invariance);
      const loss = op.add(
        op.add(agreement, op.mul(variance, options.variance)),
        op.mul(covariance, options.covariance),
      );
      return { loss, metrics: { ...found, featureStd: spread(features) } };
    },
  };
}

/**
 * Linear, BN, ReLU, Linear, BN, ReLU, Linear: [2, B, D] → [2, B, dim]. Batch normalisation takes out the biases before
 * it, whose gradient is therefore exactly zero, and none is computed. None stands at the end either: the variance
 * term would have nothing to do.
 */
function expander(p: Scope, x: Value, mlpDim: number, dim: number): Value {
  const hidden = (at: number, input: Value) => {
    const init = torchDefault(input.shape.at(-1)!);
    const options = { weightInit: init, biasInit: init, fixedBias: true };
    return op.relu(batchNorm(p.at(`${at + 1}`), linear(p.at(`${at}`), input, mlpDim, options)));
  };
  return bare(p.at("6"), hidden(3, hidden(0, x)), dim);
}

/** Equations 1 to 5 of the paper for embeddings [2, B, dim]: variance is the mean over the views, covariance the sum. */
function terms(embedded: Value) {
  const [, samples, dim] = embedded.shape as [number, number, number];
  const difference = op.sub(view(embedded, 0), view(embedded, 1));
  const centered = op.sub(embedded, op.reduceMean(embedded, { axis: 1, keepdims: true }));
  const variances = op.div(op.reduceSum(op.mul(centered, centered), { axis: 1 }), samples - 1); // [2, dim]
  const deviations = op.sqrt(op.add(variances, 1e-4));
  // Off the diagonal is all but the diagonal. All: Z'Z and ZZ' have the same sum of squares, and ZZ' is [B, B], which is
  // far smaller than the covariance matrix of a wide embedding.
  const gram = op.matmul(centered, centered, { transB: true, alpha: 1 / (samples - 1) }); // [2, B, B]
  const sumOfSquares = (x: Value) => op.reduceSum(op.reduceSum(op.mul(x, x), { axis: -1 }));
  return {
    invariance: op.reduceMean(op.reduceMean(op.mul(difference, difference), { axis: -1 })),
    variance: op.reduceMean(op.reduceMean(op.relu(op.sub(1, deviations)), { axis: -1 })),
    covariance: op.div(op.sub(sumOfSquares(gram), sumOfSquares(variances)), dim),
  };
}
