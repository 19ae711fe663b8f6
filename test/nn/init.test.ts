import { describe, expect, it } from "vitest";
import { key } from "../../src/tensor/random.ts";
import { normal, ones, sinCos2d, torchDefault, uniform, variableKey, xavierUniform, zeros } from "../../src/nn/init.ts";
import { at, expectAllclose } from "../helpers.ts";
import { tensor } from "../../src/tensor/tensor.ts";

describe("random initialisers", () => {
  const statistics = (numbers: Float32Array) => {
    const mean = numbers.reduce((a, b) => a + b, 0) / numbers.length;
    const deviation = Math.sqrt(numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / numbers.length);
    return { mean, deviation, largest: numbers.reduce((max, x) => Math.max(max, Math.abs(x)), 0) };
  };
  const shape = [120, 10, 3, 3]; // fan-in 90, fan-out 120
  it.each([
    ["uniform", uniform(0.5), 0.5],
    ["xavierUniform", xavierUniform(), Math.sqrt(6 / (90 + 120))],
    ["xavierUniform of three matrices", xavierUniform(3), Math.sqrt(6 / (90 + 40))],
    ["torchDefault", torchDefault(90), 1 / Math.sqrt(90)],
  ])("%s fills its range evenly", (_, init, bound) => {
    const { mean, deviation, largest } = statistics(init(shape, key(1)));
    expect(Math.abs(mean)).toBeLessThan(0.02 * bound);
    expect(Math.abs(deviation / (bound / Math.sqrt(3)) - 1)).toBeLessThan(0.02);
    expect(largest).toBeLessThanOrEqual(bound);
    expect(largest).toBeGreaterThan(0.99 * bound);
  });
  it("normal has its deviation", () => {
    const { mean, deviation } = statistics(normal(0.02)(shape, key(2)));
    expect(Math.abs(mean)).toBeLessThan(0.001);
    expect(Math.abs(deviation / 0.02 - 1)).toBeLessThan(0.02);
  });
  it("zeros and ones are", () => {
    expect([...zeros([2], key(0)), ...ones([2], key(0))]).toEqual([0, 0, 1, 1]);
  });
  it("depend on the variable's name only", () => {
    const draw = (seed: number, name: string) => uniform(1)([4], variableKey(key(seed), name));
    expect(draw(0, "a")).toEqual(draw(0, "a"));
    expect(draw(0, "a")).not.toEqual(draw(0, "b"));
    expect(draw(0, "a")).not.toEqual(draw(1, "a"));
  });
});

describe("sinCos2d", () => {
  const [grid, width] = [3, 16];
  const shape = [1, 1 + grid * grid, width];
  const table = (layout: "mae" | "mocov3") => tensor("float32", shape, sinCos2d(grid, layout)(shape, key(0)));
  const [mae, moco] = [table("mae"), table("mocov3")];

  it("is zero for the class token", () => {
    for (const { data } of [mae, moco]) expect([...data.subarray(0, width)]).toEqual(Array(width).fill(0));
  });
  it("of MAE is MoCo v3's with its halves swapped", () => {
    for (let row = 0; row < shape[1]!; row++)
      for (let d = 0; d < width; d++) expect(at(mae, 0, row, d)).toBe(at(moco, 0, row, (d + width / 2) % width));
    expect(mae.data).not.toEqual(moco.data);
  });
  it("holds sines, then cosines, of the column first in MAE", () => {
    const [row, column] = [1, 2];
    const place = 1 + row * grid + column;
    const angles = (position: number) => [0, 1, 2, 3].map((k) => position * 10000 ** (-k / 4));
    const half = (position: number) => [...angles(position).map(Math.sin), ...angles(position).map(Math.cos)];
    expectAllclose(mae.data.subarray(place * width, (place + 1) * width), [...half(column), ...half(row)]);
  });
  it("wants a width divisible by 4", () => {
    expect(() => sinCos2d(2, "mae")([1, 5, 6], key(0))).toThrow(
      new Error("a sine-cosine position embedding needs a width divisible by 4, not 6"),
    );
  });
});
