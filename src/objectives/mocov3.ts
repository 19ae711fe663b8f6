/** MoCo v3 (Chen, Xie and He, ICCV 2021): contrast between two views, keys from a momentum encoder. */
import * as z from "zod";
import * as op from "../graph/ops/index.ts";
import { infoNCE, l2Normalize } from "../nn/losses.ts";
import { encode, patchCount, patches, visiblePatches, type VitConfig } from "../nn/vit.ts";
import { byView, predictor, projector, spread, view } from "./heads.ts";
import { anchored, anchorOption } from "./l1-anchor.ts";
import type { Objective, ObjectiveKind } from "./objective.ts";
import { positive, share } from "./options.ts";

const schema = z.strictObject({
  kind: z.literal("mocov3"),
  mlpDim: positive.default(4096),
  dim: positive.default(256),
  temperature: z.number().positive().default(0.2),
  momentum: share.default(0.99).describe("of the key encoder at the start; rises to 1"),
  patchDrop: z
    .strictObject({ ratio: share, keys: z.enum(["same", "all"]).default("same") })
    .optional()
    .describe("leave out a share of the patches; the keys see the same ones or all"),
  l1Anchor: anchorOption,
});

export const mocov3Kind = {
  schema,
  family: "cl",
  create: (model, options) => anchored(mocov3(model, options), model, options),
} as const satisfies ObjectiveKind<typeof schema>;

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
    tokens: 2 * (1 + (1 - (patchDrop?.ratio ?? 0)) * patchCount(model)),
    coupled: true,
    fields: { view1: image, view2: image, ...(patchDrop === undefined ? {} : { noise1: noise, noise2: noise }) },
    copies: [
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
      const projected = projector(p.at("base_encoder.head"), byView(encoded["queries"]!), mlpDim, dim);
      const queries = l2Normalize(predictor(p.at("predictor"), projected, mlpDim));
      const target = projector(p.at("momentum_encoder.head"), byView(encoded["keys"]!), mlpDim, dim);
      const keys = op.stopGradient(l2Normalize(target));
      const contrast = op.add(
        infoNCE(view(queries, 0), view(keys, 1), temperature),
        infoNCE(view(queries, 1), view(keys, 0), temperature),
      );
      return { loss: op.mul(contrast, 2 * temperature), metrics: { featureStd: spread(encoded["queries"]!) } };
    },
  };
}
