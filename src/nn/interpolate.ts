/** Position embeddings for another number of patches. */
import { show } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

/**
 * A position embedding [1, 1 + g², D] for a square grid of `side` patches a side, [1, 1 + side², D]: bicubic, as PyTorch's
 * `interpolate(mode="bicubic", align_corners=False)`, which MAE's fine-tuning uses. The class token's row stays as it is.
 */
export function resizePositions(table: Tensor<"float32">, side: number): Tensor<"float32"> {
  const [, rows, width] = table.shape as [number, number, number];
  const grid = Math.sqrt(rows - 1);
  if (!Number.isInteger(grid)) throw new Error(`a position embedding ${show(table.shape)} is of no square grid`);
  if (grid === side) return table;
  const taps = Array.from({ length: side }, (_, i) => tapsAt(((i + 0.5) * grid) / side - 0.5, grid));
  const resized = tensor("float32", [1, 1 + side ** 2, width]);
  resized.data.set(table.data.subarray(0, width));
  for (const [row, vertical] of taps.entries())
    for (const [column, horizontal] of taps.entries()) {
      const target = (1 + row * side + column) * width;
      for (let d = 0; d < width; d++) {
        let sum = 0;
        for (const [y, weightY] of vertical)
          for (const [x, weightX] of horizontal) sum += weightY * weightX * table.data[(1 + y * grid + x) * width + d]!;
        resized.data[target + d] = sum;
      }
    }
  return resized;
}

/** The four nearest places and their weights; places beyond the border stand for the border. */
function tapsAt(position: number, count: number): (readonly [place: number, weight: number])[] {
  const floor = Math.floor(position);
  return [-1, 0, 1, 2].map((offset) => {
    const place = floor + offset;
    return [Math.min(Math.max(place, 0), count - 1), cubic(Math.abs(position - place))] as const;
  });
}

/** Keys' cubic convolution kernel at a distance of up to 2, with PyTorch's a. */
function cubic(distance: number): number {
  const a = -0.75;
  if (distance <= 1) return (a + 2) * distance ** 3 - (a + 3) * distance ** 2 + 1;
  return a * (distance ** 3 - 5 * distance ** 2 + 8 * distance - 4);
}
