/** What the tokens of a Vision Transformer look at: how far, and where. */
import { tensor } from "../tensor/tensor.ts";
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import { patchCount, type VitConfig } from "../nn/vit.ts";
import type { Pixels } from "../data/source.ts";

/**
 * Mean attention distance (Dosovitskiy et al. 2021, figure 7): how far from itself a patch looks, in pixels of the image.
 * Attention [B, heads, 1 + P, 1 + P] → [B, heads]: distance of the patches' centres, weighted by the attention, summed over
 * keys, mean over queries. What goes to the class token counts as distance 0 (the rest is not scaled up to 1).
 */
export function attentionDistance(weights: Value, model: VitConfig): Value {
  const [batch, heads, tokens] = weights.shape as [number, number, number];
  const distances = tensor("float32", [tokens ** 2, 1], patchDistances(model));
  // As a product of matrices it needs no second tensor of the attention's size.
  const rows = op.reshape(weights, [batch * heads, tokens ** 2]);
  return op.reshape(op.div(op.matmul(rows, op.constant(distances)), tokens - 1), [batch, heads]);
}

/** Euclidean distances of patch centres in pixels, [1 + P, 1 + P]; row and column 0, the class token's, are zero. */
function patchDistances(model: VitConfig): Float32Array {
  const tokens = 1 + patchCount(model);
  const perRow = model.imageSize / model.patchSize;
  const placeOf = (token: number) => [Math.floor((token - 1) / perRow), (token - 1) % perRow] as const;
  return Float32Array.from({ length: tokens ** 2 }, (_, at) => {
    const [query, key] = [Math.floor(at / tokens), at % tokens];
    if (query === 0 || key === 0) return 0;
    const [[y, x], [otherY, otherX]] = [placeOf(query), placeOf(key)];
    return model.patchSize * Math.hypot(y - otherY, x - otherX);
  });
}

/** Where the class token looks: [B, heads, 1 + P, 1 + P] → [B, P], mean over heads; what it keeps for itself is left out. */
export function classAttention(weights: Value): Value {
  const tokens = weights.shape[3]!;
  const row = op.slice(op.slice(weights, 2, 0, 1), 3, 1, tokens); // [B, heads, 1, P]
  return op.reduceMean(row, { axis: [1, 2] });
}

/** The grey that veils a picture, and how much of the picture shows through it where nothing looks. */
const veil = { level: 112, least: 0.2 };

/**
 * A picture that is clear where the attention [P] of a square grid is at its peak, and veiled in grey elsewhere: grey, not
 * black, so that it shows on dark pictures too. Between patch centres bilinear.
 */
export function overlay({ data, width, height }: Pixels, attention: ArrayLike<number>): Pixels {
  const side = Math.sqrt(attention.length);
  const peak = Math.max(...Array.from(attention)) || 1;
  const veiled = new Uint8Array(data.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const looks = bilinear(attention, side, ((y + 0.5) * side) / height - 0.5, ((x + 0.5) * side) / width - 0.5);
      const clear = veil.least + ((1 - veil.least) * looks) / peak;
      for (let at = 3 * (y * width + x), end = at + 3; at < end; at++)
        veiled[at] = Math.round(clear * data[at]! + (1 - clear) * veil.level);
    }
  return { data: veiled, width, height };
}

/** The value at a place of a square grid, the border's beyond it. */
function bilinear(grid: ArrayLike<number>, side: number, y: number, x: number): number {
  const clamp = (place: number) => Math.max(0, Math.min(side - 1, place));
  const [top, left] = [Math.floor(y), Math.floor(x)];
  const row = (each: number) => {
    const start = clamp(each) * side;
    return (1 - (x - left)) * grid[start + clamp(left)]! + (x - left) * grid[start + clamp(left + 1)]!;
  };
  return (1 - (y - top)) * row(top) + (y - top) * row(top + 1);
}
