/** SimCLR (Chen et al., ICML 2020): each view against all other views of the batch, with neither momentum encoder nor predictor. */
import * as z from "zod";
import { l2Normalize, ntXent } from "../nn/losses.ts";
import { patchCount, type VitConfig } from "../nn/vit.ts";
import { byView, classTokens, projector, spread, view } from "./heads.ts";
import { anchored, anchorOption } from "./l1-anchor.ts";
import type { Objective, ObjectiveKind } from "./objective.ts";
import { positive } from "./options.ts";

const schema = z.strictObject({
  kind: z.literal("simclr"),
  mlpDim: positive.default(4096),
  dim: positive.default(256),
  temperature: z.number().positive().default(0.2),
  l1Anchor: anchorOption,
});

export const simclrKind = {
  schema,
  family: "cl",
  create: (model, options) => anchored(simclr(model, options), model, options),
} as const satisfies ObjectiveKind<typeof schema>;

export interface SimclrOptions {
  /** Hidden width of the projector. */
  readonly mlpDim: number;
  /** Width of the space of contrast. */
  readonly dim: number;
  readonly temperature: number;
}

/**
 * Batch fields: `view1` and `view2` [B, 3, H, W]. Encoder and projector are MoCo v3's, so that the two methods differ in
 * what they compare and in nothing else; the paper's projector is a layer shorter.
 */
export function simclr(model: VitConfig, { mlpDim, dim, temperature }: SimclrOptions): Objective {
  const image = [3, model.imageSize, model.imageSize];
  return {
    name: "simclr",
    encoder: "base_encoder.",
    tokens: 2 * (1 + patchCount(model)),
    coupled: true,
    fields: { view1: image, view2: image },
    encode: (p, batch) => ({ features: classTokens(p.at("base_encoder"), model, batch) }),
    loss(p, encoded) {
      const features = encoded["features"]!;
      const projected = l2Normalize(projector(p.at("base_encoder.head"), byView(features), mlpDim, dim));
      const loss = ntXent(view(projected, 0), view(projected, 1), temperature);
      return { loss, metrics: { featureStd: spread(features) } };
    },
  };
}
