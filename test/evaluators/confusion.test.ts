import { expect, it } from "vitest";
import { confusionCounts, worstPairs } from "../../src/evaluators/confusion.ts";

it("counts rows of the true class and columns of the predicted one", () => {
  expect(confusionCounts([0, 0, 1, 2], [0, 2, 1, 2], 3)).toEqual([
    [1, 0, 1],
    [0, 1, 0],
    [0, 0, 1],
  ]);
  expect(() => confusionCounts([0, 1], [0], 2)).toThrow("1 predictions for 2 labels");
});

it("the worst pairs are the most frequent mistakes, then those of smaller classes; right answers are none", () => {
  const counts = [
    [50, 3, 0],
    [3, 5, 4],
    [0, 0, 9],
  ];
  expect(worstPairs(counts, 10)).toEqual([
    { truth: 1, predicted: 2, count: 4 },
    { truth: 1, predicted: 0, count: 3 },
    { truth: 0, predicted: 1, count: 3 },
  ]);
  expect(worstPairs(counts, 1)).toHaveLength(1);
});
