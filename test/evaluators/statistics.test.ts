import { expect, it } from "vitest";
import { statistics } from "../../src/evaluators/statistics.ts";
import { featuresOf } from "./toy.ts";

const axes = (width: number, length: number) =>
  Array.from({ length: 2 * width }, (_, i) =>
    Array.from({ length: width }, (_each, j) => (j === i % width ? (i < width ? length : -length) : 0)),
  );

it.each([
  ["spread alike in all directions", axes(4, 3), { norm: 3, deviation: 1, correlation: 0, participationRatio: 4 }],
  [
    "collapsed to a point",
    Array.from({ length: 5 }, () => [3, 4]),
    { norm: 5, deviation: 0, correlation: 0, participationRatio: 0 },
  ],
  [
    "one direction said twice, and a constant",
    [
      [1, -1, 7],
      [-1, 1, 7],
    ],
    { norm: Math.sqrt(51), deviation: (2 / Math.sqrt(51) / 3) * Math.sqrt(3), correlation: 1, participationRatio: 1 },
  ],
])("features %s", (_, rows, expected) => {
  const found = statistics(featuresOf(rows));
  for (const [name, value] of Object.entries(expected)) expect(found[name as "norm"], name).toBeCloseTo(value, 6);
});

it("of one image there are none", () => {
  expect(() => statistics(featuresOf([[1, 2]]))).toThrow(
    "statistics of features need two images or more, but there are 1",
  );
});
