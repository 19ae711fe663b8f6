import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { resizePositions } from "../../src/nn/interpolate.ts";
import { tensor } from "../../src/tensor/tensor.ts";
import { expectAllclose, floats } from "../helpers.ts";

const { positions } = JSON.parse(readFileSync("test/fixtures/finetune.json", "utf8")) as {
  positions: { grid: number; side: number; values: number[] }[];
};
const table = (grid: number) =>
  floats(
    [1, 1 + grid ** 2, 2],
    Array.from({ length: 2 + 2 * grid ** 2 }, (_, i) => (((37 * i) % 101) - 50) / 32),
  );

describe("resizePositions", () => {
  it.each(positions)("from $grid × $grid to $side × $side is PyTorch's", ({ grid, side, values }) => {
    const resized = resizePositions(table(grid), side);
    expect(resized.shape).toEqual([1, 1 + side ** 2, 2]);
    expectAllclose(resized.data, values, { absolute: 1e-5 });
  });
  it("of the same grid changes nothing", () => {
    expect(resizePositions(table(3), 3)).toEqual(table(3));
  });
  it("keeps what is the same everywhere", () => {
    const flat = tensor("float32", [1, 17, 2], new Float32Array(34).fill(0.75));
    expectAllclose(resizePositions(flat, 7).data, new Float32Array(100).fill(0.75));
  });
  it("refuses what is no square", () => {
    expect(() => resizePositions(tensor("float32", [1, 13, 2]), 3)).toThrow(
      new Error("a position embedding [1,13,2] is of no square grid"),
    );
  });
});
