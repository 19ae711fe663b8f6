/** SimMIM (Xie et al., CVPR 2022): hide patches behind a learned token and predict their pixels with one linear layer. */
import * as z from "zod";
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import { normal, torchDefault } from "../nn/init.ts";
import { linear } from "../nn/layers.ts";
import { encode, patchCount, patches, type VitConfig } from "../nn/vit.ts";
import type { Objective, ObjectiveKind } from "./objective.ts";
import { positive, share } from "./options.ts";

const schema = z.strictObject({
  kind: z.literal("simmim"),
  maskRatio: share.default(0.6).describe("share of patches that the mask token replaces"),
  maskUnit: positive.default(1).describe("side of a masked square, in patches"),
});

export const simmimKind = {
  schema,
  family: "mim",
  create: (model, options, encoder) => simmim(model, options, encoder),
} as const satisfies ObjectiveKind<typeof schema>;

export interface SimmimOptions {
  /** Share of the image that is hidden (paper: 0.6), rounded up to whole squares. */
  readonly maskRatio: number;
  /** Side of a hidden square in patches (paper: 2 patches of 16 pixels). */
  readonly maskUnit: number;
}

/**
 * Batch fields: `images` [B, 3, H, W] and `noise` [B, squares], uniform; the squares with the largest noise are hidden.
 * `encoder` is the prefix of the backbone's parameters, e.g. `base_encoder.`; mask token and decoder stand outside it.
 *
 * Ours is the ViT of the other methods, so that its weights fit theirs: with a class token and a fixed position embedding,
 * where the paper has learned relative positions. Throws when the squares do not tile the grid of patches.
 */
export function simmim(model: VitConfig, options: SimmimOptions, encoder = ""): Objective {
  const { imageSize, patchSize, width } = model;
  const count = patchCount(model);
  const squares = count / options.maskUnit ** 2;
  if ((imageSize / patchSize) % options.maskUnit !== 0)
    throw new Error(
      `a mask unit of ${options.maskUnit} patches does not divide the ${imageSize / patchSize} patches of a row; choose a divisor`,
    );
  return {
    name: "simmim",
    encoder,
    decoder: /^(mask_token$|decoder\.)/,
    tokens: 1 + count,
    coupled: false, // every sample loses the same number of patches, so the mean over a batch is the mean of its parts
    fields: { images: [3, imageSize, imageSize], noise: [squares] },
    encode(p, batch) {
      const pixels = patches(batch["images"]!, patchSize);
      const { order, mask, seen } = hide(batch["noise"]!, count, options);
      const token = p.parameter("mask_token", [1, 1, width], normal(0.02));
      const encoded = encode(p.under(encoder), model, pixels, { lineage: "mae", hidden: { mask, token } });
      const hidden = op.slice(order, 1, seen, count);
      const rows = op.takeRows(op.slice(encoded, 1, 1, 1 + count), hidden); // [B, K, D]
      const init = torchDefault(width);
      return {
        prediction: linear(p.at("decoder"), rows, 3 * patchSize ** 2, { weightInit: init, biasInit: init }),
        target: op.takeRows(pixels, hidden),
      };
    },
    loss(_, { prediction, target }) {
      // The last axis first: the runtime does not sum large tensors pairwise.
      return { loss: op.reduceMean(op.reduceMean(op.abs(op.sub(prediction!, target!)), { axis: -1 })) };
    },
  };
}

/** From the squares' noise the patches in the order of theirs [B, L], how many are seen, and which are not, [B, L, 1]. */
function hide(noise: Value, count: number, { maskRatio, maskUnit }: SimmimOptions) {
  const [batch, squares] = noise.shape as [number, number];
  const hiddenSquares = Math.ceil(squares * maskRatio);
  if (hiddenSquares < 1 || hiddenSquares >= squares)
    throw new Error(
      `hiding ${maskRatio} of ${squares} squares leaves ${squares - hiddenSquares}; some must be seen and some hidden`,
    );
  // Every patch gets the noise of its square, so the patches of a square stay together when sorted.
  const across = Math.sqrt(squares);
  const tiles = op.reshape(noise, [batch, across, 1, across, 1]);
  const tiled = op.expand(tiles, [batch, across, maskUnit, across, maskUnit]);
  const order = op.argsort(op.reshape(tiled, [batch, count]));
  const seen = (squares - hiddenSquares) * maskUnit ** 2;
  const rank = op.reshape(op.cast(op.invertPermutation(order), "float32"), [batch, count, 1]);
  return { order, seen, mask: op.less(seen - 0.5, rank) };
}
