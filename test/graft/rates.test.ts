import { describe, expect, it } from "vitest";
import { isotonic, planGraft } from "../../src/graft/rates.ts";
import { randomFor } from "../helpers.ts";

describe("isotonic", () => {
  it.each([
    [
      [1, 2, 3],
      [1, 2, 3],
    ],
    [
      [3, 2, 1],
      [2, 2, 2],
    ],
    [
      [1, 3, 2, 4],
      [1, 2.5, 2.5, 4],
    ],
    [
      [5, 1, 1, 9],
      [7 / 3, 7 / 3, 7 / 3, 9],
    ],
    [[2], [2]],
  ])("%j becomes %j", (values, fitted) => {
    for (const [i, value] of isotonic(values).entries()) expect(value).toBeCloseTo(fitted[i]!, 12);
  });
  it("is the best of many non-falling sequences", () => {
    const random = randomFor("isotonic");
    const values = Array.from({ length: 8 }, () => random.normal());
    const distance = (other: readonly number[]) => other.reduce((sum, x, i) => sum + (x - values[i]!) ** 2, 0);
    const best = distance(isotonic(values));
    for (let trial = 0; trial < 2000; trial++) {
      const other = Array.from({ length: 8 }, () => random.normal()).sort((a, b) => a - b);
      expect(distance(other)).toBeGreaterThanOrEqual(best);
    }
  });
});

describe("planGraft", () => {
  /** Batches that scatter by `noise` around each block's mean. */
  const batches = (means: readonly number[], noise: number) =>
    means.map((mean) => [mean - noise, mean + noise, mean - noise, mean + noise]);

  it("raises the rate with the conflict, geometrically", () => {
    const { rates, trend, conflict } = planGraft(batches([0.2, 0.1, 0, -0.2], 0.01), 0.01);
    expect(trend).toBe(true);
    for (const [i, value] of [-0.2, -0.1, 0, 0.2].entries()) expect(conflict[i]).toBeCloseTo(value, 12);
    for (const [i, value] of [0.01, 0.01 ** 0.75, 0.1, 1].entries()) expect(rates[i]).toBeCloseTo(value, 12);
  });
  it("forms stages of blocks that do not differ", () => {
    const { rates } = planGraft(batches([0.1, 0.12, -0.1, -0.08, -0.3], 0.005), 0.1);
    expect(rates[0]).toBe(rates[1]);
    expect(rates[2]).toBe(rates[3]);
    expect(rates[0]).toBeLessThan(rates[2]!);
    expect(rates[2]).toBeLessThan(rates[4]!);
  });
  it("falls back on the paper's thirds when the conflict does not grow with depth", () => {
    const thirds = [0.1, 0.1, 0.1, 0.1, 1, 1];
    expect(planGraft(batches([-0.3, -0.2, -0.1, 0, 0.1, 0.2], 0.01), 0.1)).toMatchObject({
      rates: thirds,
      trend: false,
    });
    expect(planGraft(batches([0, 0.01, 0, 0, -0.01, -0.02], 0.5), 0.1)).toMatchObject({ rates: thirds, trend: false });
  });
});
