/** Vision Transformer with timm's parameter names (Dosovitskiy et al. 2021; fixed position embedding as in MAE and MoCo v3). */
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import { normal, sinCos2d, torchDefault, xavierUniform, zeros } from "./init.ts";
import { block, norm, project } from "./layers.ts";
import type { Scope } from "./scope.ts";

export interface VitConfig {
  /** Side of the square input image, pixels. */
  readonly imageSize: number;
  /** Side of a patch, pixels. */
  readonly patchSize: number;
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
}

/** Sizes by name; image size and patch are the ones the name is usually meant with and can be set. */
export const presets: Readonly<Record<string, VitConfig>> = {
  "vit-micro": { imageSize: 32, patchSize: 8, width: 128, depth: 6, heads: 4 },
  "vit-tiny/8": { imageSize: 64, patchSize: 8, width: 192, depth: 12, heads: 3 },
  "vit-tiny/16": { imageSize: 224, patchSize: 16, width: 192, depth: 12, heads: 3 },
  "vit-small/16": { imageSize: 224, patchSize: 16, width: 384, depth: 12, heads: 6 },
  "vit-base/16": { imageSize: 224, patchSize: 16, width: 768, depth: 12, heads: 12 },
  "vit-large/16": { imageSize: 224, patchSize: 16, width: 1024, depth: 24, heads: 16 },
};

/** How a fresh encoder is drawn and where its position embedding puts rows and columns (the released code of MAE and MoCo v3). */
export type Lineage = "mae" | "mocov3";

/** Number of patches of an image. Throws when the sizes do not fit. */
export function patchCount({ imageSize, patchSize, width, heads }: VitConfig): number {
  if (imageSize % patchSize !== 0)
    throw new Error(`the image size ${imageSize} is not a multiple of the patch size ${patchSize}`);
  if (width % heads !== 0) throw new Error(`the width ${width} is not a multiple of the number of heads ${heads}`);
  return (imageSize / patchSize) ** 2;
}

/** Images [B, 3, H, W] cut into patches [B, L, 3·p·p], channels first within a patch, as the patch projection reads them. */
export function patches(images: Value, patchSize: number): Value {
  const [batch, channels, height, width] = images.shape as [number, number, number, number];
  const [rows, columns] = [height / patchSize, width / patchSize];
  const grid = op.reshape(images, [batch, channels, rows, patchSize, columns, patchSize]);
  const order = op.transpose(grid, [0, 2, 4, 1, 3, 5]);
  return op.reshape(order, [batch, rows * columns, channels * patchSize ** 2]);
}

/**
 * Which patches are seen when a share of them is hidden: those with the smallest noise [B, L]. Indices, int64: `kept`
 * [B, K] with K = floor(L · (1 - ratio)), `removed` [B, L - K], and both in one `order` [B, L].
 */
export function visiblePatches(noise: Value, ratio: number): { kept: Value; removed: Value; order: Value } {
  const [, count] = noise.shape as [number, number];
  const keepCount = Math.floor(count * (1 - ratio));
  if (keepCount < 1 || keepCount >= count)
    throw new Error(`hiding ${ratio} of ${count} patches leaves ${keepCount}; some must be seen and some hidden`);
  const order = op.argsort(noise);
  return { kept: op.slice(order, 1, 0, keepCount), removed: op.slice(order, 1, keepCount, count), order };
}

/** Sees what passes through the encoder, for analysis. */
export interface Observer {
  /** Tokens [B, 1 + K, D] on their way into block `depth`; at the encoder's depth those that leave the last one, before the final norm. */
  tokens?(depth: number, x: Value): void;
  /** What each token of block `block` looks at: [B, heads, 1 + K, 1 + K], every row sums to 1. */
  attention?(block: number, weights: Value): void;
}

export interface EncodeOptions {
  lineage: Lineage;
  /** Per sample the patches that are seen, int64 [B, K]; all when left out. */
  keep?: Value;
  /** Of the patches that are seen, those whose embedding is replaced by the `token` [1, 1, D]: `mask`, bool [B, K, 1]. */
  hidden?: { mask: Value; token: Value };
  /** `cls`: only the class token's row, [B, 1, D], at less cost; `all` (default): [B, 1 + K, D]. */
  tokens?: "all" | "cls";
  /** No gradient reaches the bias of the final norm (default: it does). */
  fixedNormBias?: boolean;
  /** Per sample factors on what the blocks add to the tokens, [B, 2 · depth]: attention, then MLP, block by block (drop path). */
  branches?: Value;
  /** False: the tokens as they leave the last block (default: after the final norm, which is then a part of the encoder). */
  finalNorm?: boolean;
  observe?: Observer;
}

/** Patches [B, L, 3·p·p] through embedding, blocks and the final norm; row 0 of the result is the class token. */
export function encode(p: Scope, config: VitConfig, pixels: Value, options: EncodeOptions): Value {
  const { depth, heads } = config;
  const { lineage, tokens = "all", fixedNormBias = false, branches, finalNorm = true, observe } = options;
  let x = embed(p, config, pixels, options);
  const weightInit = xavierUniform(lineage === "mocov3" ? 3 : 1);
  const factor = (i: number) => op.reshape(op.slice(branches!, 1, i, i + 1), [x.shape[0]!, 1, 1]);
  for (let i = 0; i < depth; i++) {
    // Of the last block only the class token is asked for, so only it has to ask.
    const last = tokens === "cls" && i === depth - 1;
    observe?.tokens?.(i, x);
    const onWeights = (weights: Value) => observe?.attention?.(i, weights);
    x = block(p.at(`blocks.${i}`), x, {
      heads,
      weightInit,
      onWeights,
      ...(last ? { queries: 1 } : {}),
      ...(branches === undefined ? {} : { branches: { attention: factor(2 * i), mlp: factor(2 * i + 1) } }),
    });
  }
  observe?.tokens?.(depth, x);
  return finalNorm ? norm(p.at("norm"), x, { fixedBias: fixedNormBias }) : x;
}

/** Patch projection, position embedding and class token: [B, L, 3·p·p] → [B, 1 + K, D]. */
function embed(p: Scope, config: VitConfig, pixels: Value, { lineage, keep, hidden }: EncodeOptions): Value {
  const { patchSize, width, imageSize } = config;
  const count = patchCount(config);
  const fanIn = 3 * patchSize ** 2;
  const [batch] = pixels.shape as [number];
  const cls = p.parameter("cls_token", [1, 1, width], normal(lineage === "mae" ? 0.02 : 1e-6));
  const positions = p.constant("pos_embed", [1, 1 + count, width], sinCos2d(imageSize / patchSize, lineage));
  const projection = p.at("patch_embed.proj");
  const weight = projection.parameter("weight", [width, 3, patchSize, patchSize], xavierUniform());
  const bias = projection.parameter("bias", [width], lineage === "mae" ? torchDefault(fanIn) : zeros);

  // Patches are dropped before they are projected: the same result as after it, and the gather needs no gradient.
  const seen = keep === undefined ? pixels : op.takeRows(pixels, keep);
  const patchPositions = op.slice(positions, 1, 1, 1 + count); // [1, L, D]
  const places = keep === undefined ? patchPositions : op.gather(op.reshape(patchPositions, [count, width]), keep);
  const projected = project(seen, op.reshape(weight, [width, fanIn]), bias);
  const shown = hidden === undefined ? projected : op.where(hidden.mask, hidden.token, projected);
  const first = op.expand(op.add(cls, op.slice(positions, 1, 0, 1)), [batch, 1, width]);
  return op.concat([first, op.add(shown, places)], 1);
}

/**
 * A pattern on the names of the encoder's parameters below a prefix, for `RegExp` and for rules in a recipe: timm's names.
 * Heads, decoder and whatever else an objective puts beside them are not among them.
 */
export function backbonePattern(prefix = ""): string {
  return `^${literal(prefix)}(cls_token$|pos_embed$|patch_embed\\.|blocks\\.|norm\\.)`;
}

/** The same for the parameters of its blocks alone. */
export function blocksPattern(prefix = ""): string {
  return `^${literal(prefix)}blocks\\.`;
}

function literal(text: string): string {
  return text.replaceAll(/[$()*+./?[\\\]^{|}-]/g, "\\$&");
}

/**
 * Which layer a parameter of the encoder is in: 0 = class token, position and patch embedding; i + 1 = block i;
 * depth + 1 = everything above (final norm, heads).
 */
export function layerOf(name: string, depth: number): number {
  if (/(^|\.)(cls_token|pos_embed|patch_embed\.)/.test(name)) return 0;
  const found = /(?:^|\.)blocks\.(\d+)\./.exec(name);
  return found === null ? depth + 1 : Number(found[1]) + 1;
}
