import { expect, it } from "vitest";
import { mapOf } from "../../src/evaluators/map.ts";
import { clusters, featuresOf } from "./toy.ts";

it("keeps clusters apart: nearly every point's nearest is of its own", () => {
  const { features, labels } = clusters("map", { count: 90, classes: 3, width: 8, spread: 0.1 });
  const points = mapOf(features, 1);
  const own = points.filter(([x, y], i) => {
    const distances = points.map(([u, v], j) => (i === j ? Infinity : Math.hypot(x - u, y - v)));
    return labels[distances.indexOf(Math.min(...distances))] === labels[i];
  });
  expect(own.length).toBeGreaterThan(85);
  expect(mapOf(features, 1)).toEqual(points);
  expect(mapOf(features, 2)).not.toEqual(points);
});

it("compares directions: lengths of features change nothing", () => {
  const { features } = clusters("lengths", { count: 30 });
  // Factors of two: the unit rows are the same to the last bit.
  const scaled = features.rows.map((x, i) => x * 2 ** (Math.floor(i / features.width) % 3));
  expect(mapOf({ ...features, rows: scaled }, 0)).toEqual(mapOf(features, 0));
});

it("gives finite points when all images look alike, and refuses too few", () => {
  const same = (count: number) => featuresOf(Array.from({ length: count }, () => [1, 2, 3]));
  expect(mapOf(same(20), 0).flat().every(Number.isFinite)).toBe(true);
  expect(() => mapOf(same(15), 0)).toThrow("a map needs at least 16 images, but there are 15");
});
