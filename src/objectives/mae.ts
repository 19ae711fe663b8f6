/** Masked autoencoder (He et al., CVPR 2022): encode a quarter of the patches, predict the pixels of the rest. */
import * as z from "zod";
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import { normal, sinCos2d } from "../nn/init.ts";
import { block, linear, norm } from "../nn/layers.ts";
import type { Scope } from "../nn/scope.ts";
import { encode, patchCount, patches, visiblePatches, type VitConfig } from "../nn/vit.ts";
import type { Objective, ObjectiveKind, Values } from "./objective.ts";
import { positive, share } from "./options.ts";

const schema = z.strictObject({
  kind: z.literal("mae"),
  decoderWidth: positive.default(512),
  decoderDepth: positive.default(8),
  decoderHeads: positive.default(16),
  maskRatio: share.default(0.75).describe("share of patches the encoder does not see"),
  normPix: z.boolean().default(true).describe("predict pixels normalised per patch"),
});

export const maeKind = {
  schema,
  family: "mim",
  create: (model, options, encoder) => mae(model, options, encoder),
} as const satisfies ObjectiveKind<typeof schema>;

export interface MaeOptions {
  readonly decoderWidth: number;
  readonly decoderDepth: number;
  readonly decoderHeads: number;
  /** Share of patches that the encoder does not see (paper: 0.75). */
  readonly maskRatio: number;
  /** Predict each patch's pixels normalised by the patch's own mean and variance. */
  readonly normPix: boolean;
}

/** MAE's names of its decoder's parameters: `mask_token`, `decoder_embed.…`, `decoder_blocks.0.…` */
export const maeDecoder = /^(mask_token$|decoder_)/;

/**
 * Batch fields: `images` [B, 3, H, W] and `noise` [B, L], uniform; the patches with the smallest noise are seen.
 * `encoder` is the prefix of the encoder's parameters; the decoder's have none.
 */
export function mae(model: VitConfig, options: MaeOptions, encoder = ""): Objective {
  const { imageSize } = model;
  const { decoderWidth, decoderDepth, decoderHeads } = options;
  return {
    name: "mae",
    encoder,
    decoder: maeDecoder,
    tokens: 1 + (1 - options.maskRatio) * patchCount(model),
    metadata: { decoder: JSON.stringify({ decoderWidth, decoderDepth, decoderHeads }) },
    coupled: false, // every sample loses the same number of patches, so the mean over a batch is the mean of its parts
    fields: { images: [3, imageSize, imageSize], noise: [patchCount(model)] },
    encode(p, batch) {
      const { encoded, removed, order } = encodeVisible(p.under(encoder), model, options, batch);
      return {
        prediction: decode(p, model, options, encoded, order, removed.shape[1]!),
        target: op.takeRows(targets(batch["images"]!, model.patchSize, options.normPix), removed),
      };
    },
    loss(_, { prediction, target }) {
      const error = op.sub(prediction!, target!);
      // All masked patches weigh the same. The last axis first: the runtime does not sum large tensors pairwise.
      return { loss: op.reduceMean(op.reduceMean(op.mul(error, error), { axis: -1 })) };
    },
  };
}

/** Predictions for all patches in image order [B, L, p·p·3] and the mask [B, L] (1 = removed): for pictures and tests. */
export function reconstruct(p: Scope, model: VitConfig, options: MaeOptions, batch: Values, encoder = "") {
  const { encoded, kept, order } = encodeVisible(p.under(encoder), model, options, batch);
  const count = patchCount(model);
  const shuffled = decode(p, model, options, encoded, order, count + 1);
  const restore = op.invertPermutation(order);
  // decode puts the removed patches first, the class token next, the kept patches last
  const removedCount = count - kept.shape[1]!;
  const inOrder = op.concat(
    [op.slice(shuffled, 1, removedCount + 1, count + 1), op.slice(shuffled, 1, 0, removedCount)],
    1,
  );
  const rank = op.cast(restore, "float32");
  const mask = op.cast(op.less(count - removedCount - 0.5, rank), "float32");
  return { prediction: op.takeRows(inOrder, restore), mask };
}

/** Pixels of each patch [B, L, p·p·3] (row, column, channel), normalised per patch when asked. */
export function targets(images: Value, patchSize: number, normPix: boolean): Value {
  const channelsFirst = patches(images, patchSize); // [B, L, 3·p·p]
  const [batch, count, size] = channelsFirst.shape as [number, number, number];
  const split = op.reshape(channelsFirst, [batch, count, 3, size / 3]);
  const pixels = op.reshape(op.transpose(split, [0, 1, 3, 2]), [batch, count, size]);
  if (!normPix) return pixels;
  const centered = op.sub(pixels, op.reduceMean(pixels, { axis: -1, keepdims: true }));
  const squares = op.reduceSum(op.mul(centered, centered), { axis: -1, keepdims: true });
  return op.div(centered, op.sqrt(op.add(op.div(squares, size - 1), 1e-6)));
}

function encodeVisible(p: Scope, model: VitConfig, { maskRatio }: MaeOptions, batch: Values) {
  const { kept, ...rest } = visiblePatches(batch["noise"]!, maskRatio);
  const pixels = patches(batch["images"]!, model.patchSize);
  return { encoded: encode(p, model, pixels, { lineage: "mae", keep: kept }), kept, ...rest };
}

/**
 * Decoder over all tokens. The transformer does not care for their order, so tokens stay shuffled (removed patches, class
 * token, kept patches) and only position embeddings, which need no gradient, are gathered. The first `asked` tokens come
 * out of the last block: [B, asked, p·p·3].
 */
function decode(p: Scope, model: VitConfig, options: MaeOptions, encoded: Value, order: Value, asked: number): Value {
  const { decoderWidth: width, decoderDepth: depth, decoderHeads: heads } = options;
  const count = order.shape[1]!;
  const visible = linear(p.at("decoder_embed"), encoded, width); // [B, 1 + K, W]
  const keepCount = visible.shape[1]! - 1;
  const maskToken = p.parameter("mask_token", [1, 1, width], normal(0.02));
  const grid = model.imageSize / model.patchSize;
  const table = p.constant("decoder_pos_embed", [1, 1 + count, width], sinCos2d(grid, "mae"));
  const patchRows = op.reshape(op.slice(table, 1, 1, 1 + count), [count, width]);
  const places = op.gather(patchRows, order); // [B, L, W]: kept patches, then removed ones
  const clsPlace = op.slice(table, 1, 0, 1); // [1, 1, W]

  const removed = op.add(maskToken, op.slice(places, 1, keepCount, count));
  const cls = op.add(op.slice(visible, 1, 0, 1), clsPlace);
  const kept = op.add(op.slice(visible, 1, 1, 1 + keepCount), op.slice(places, 1, 0, keepCount));
  let x = op.concat([removed, cls, kept], 1);
  for (let i = 0; i < depth; i++)
    x = block(p.at(`decoder_blocks.${i}`), x, { heads, ...(i === depth - 1 ? { queries: asked } : {}) });
  return linear(p.at("decoder_pred"), norm(p.at("decoder_norm"), x), 3 * model.patchSize ** 2);
}
