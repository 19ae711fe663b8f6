import { expect, it } from "vitest";
import { microBatchFor } from "../../src/step/step.ts";

it.each([
  [256, 65, 16],
  [1024, 17, 64],
  [1024, 197, 8],
  [992, 17, 62],
  [30, 10, 30],
  [7, 300, 1],
  [4, 5000, 1],
])("a batch of %i images of %i tokens is run by %i", (batch, rows, expected) => {
  expect(microBatchFor(batch, rows)).toBe(expected);
});
