/** Features of images in the plane: UMAP (McInnes, Healy and Melville 2018), as umap-js computes it. */
import { UMAP } from "umap-js";
import { fold, key, Random } from "../tensor/random.ts";
import type { Features } from "./evaluator.ts";
import { unitRows } from "./neighbours.ts";

/** Neighbours of an image that the map tries to keep beside it, itself among them. */
const neighbourhood = 15;
/** Fewer images than this have no map. */
export const fewestOnMap = neighbourhood + 1;
export const mapMethod = `UMAP of the class token's features (cosine, ${neighbourhood} neighbours)`;

/**
 * A point per image, so that those with alike features (cosine) lie together. Distances between groups and directions mean
 * nothing. Same features and seed, same points. Throws when there are fewer than `fewestOnMap` images.
 */
export function mapOf(features: Features, seed: number): [number, number][] {
  const { count, width } = features;
  if (count < fewestOnMap) throw new Error(`a map needs at least ${fewestOnMap} images, but there are ${count}`);
  const unit = unitRows(features);
  const rows = Array.from({ length: count }, (_, i) => Array.from(unit.subarray(i * width, (i + 1) * width)));
  const random = new Random(fold(key(seed), "map"));
  const umap = new UMAP({ nNeighbors: neighbourhood, random: () => random.uniform() });
  // Exact neighbours, which for some hundred images take less time than the approximate search.
  const nearest = rows.map((row) => {
    const distances = rows.map((other) => Math.sqrt(row.reduce((sum, x, j) => sum + (x - other[j]!) ** 2, 0)));
    const order = Array.from(distances.keys()).sort((a, b) => distances[a]! - distances[b]! || a - b);
    return order.slice(0, neighbourhood).map((index) => ({ index, distance: distances[index]! }));
  });
  umap.setPrecomputedKNN(
    nearest.map((list) => list.map(({ index }) => index)),
    nearest.map((list) => list.map(({ distance }) => distance)),
  );
  return umap.fit(rows).map(([x, y]) => [x!, y!]);
}
