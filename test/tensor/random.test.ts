import { describe, expect, it } from "vitest";
import { fold, key, Random, threefry } from "../../src/tensor/random.ts";

describe("threefry", () => {
  // Known answers of threefry2x32 with 20 rounds, from the authors' Random123 (kat_vectors).
  it.each([
    [
      [0, 0],
      [0, 0],
      [0x6b200159, 0x99ba4efe],
    ],
    [
      [0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x1cb996fc, 0xbb002be7],
    ],
    [
      [0x13198a2e, 0x03707344],
      [0x243f6a88, 0x85a308d3],
      [0xc4923a9c, 0x483df7a0],
    ],
  ])("under the key %j of the counter %j", ([k0, k1], [c0, c1], expected) => {
    expect(threefry(k0!, k1!, c0!, c1!)).toEqual(expected);
  });
});

describe("keys", () => {
  it("differ by seed and by every name", () => {
    const keys = [
      ...[0, 1, -1, 2 ** 32, 2 ** 33].map(key),
      fold(key(0), "a"),
      fold(key(0), "b"),
      fold(key(0), 1),
      fold(key(0), 2 ** 32 + 1),
      fold(key(0), "a", 1),
      fold(key(0), 1, "a"),
    ];
    expect(new Set(keys.map(String)).size).toBe(keys.length);
  });
  it("do not depend on how the names are grouped", () => {
    expect(fold(fold(key(3), "crop"), 7, 8)).toEqual(fold(key(3), "crop", 7, 8));
  });
  it("want a whole seed", () => {
    expect(() => key(0.5)).toThrow(new Error("seed must be a whole number below 2^53, but is 0.5"));
  });
});

describe("draws", () => {
  const count = 20_000;
  const many = (draw: (random: Random) => number, name: string) => {
    const random = new Random(fold(key(1), name));
    return Array.from({ length: count }, () => draw(random));
  };
  const moments = (numbers: number[]) => {
    const mean = numbers.reduce((a, b) => a + b) / count;
    return [mean, numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / count] as const;
  };

  it("repeat for the same key and not for another", () => {
    const draw = (name: string) =>
      Array.from(
        { length: 5 },
        (
          (r) => () =>
            r.bits()
        )(new Random(fold(key(1), name))),
      );
    expect(draw("a")).toEqual(draw("a"));
    expect(draw("a")).not.toEqual(draw("b"));
  });
  it("uniform: range, mean and variance", () => {
    const numbers = many((random) => random.uniform(-1, 3), "uniform");
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(-1);
    expect(Math.max(...numbers)).toBeLessThan(3);
    const [mean, variance] = moments(numbers);
    expect(Math.abs(mean - 1)).toBeLessThan(0.03);
    expect(Math.abs(variance - 16 / 12)).toBeLessThan(0.03);
  });
  it("normal: mean, variance, tails", () => {
    const numbers = many((random) => random.normal(), "normal");
    const [mean, variance] = moments(numbers);
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(variance - 1)).toBeLessThan(0.04);
    const beyond = numbers.filter((x) => Math.abs(x) > 1.96).length / count;
    expect(Math.abs(beyond - 0.05)).toBeLessThan(0.006);
    expect(numbers.every(Number.isFinite)).toBe(true);
  });
  it.each([0.8, 1, 3, 0.001])("beta(%f): range, mean, variance, as likely near 0 as near 1", (a) => {
    const numbers = many((random) => random.beta(a), `beta ${a}`);
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...numbers)).toBeLessThanOrEqual(1);
    const [mean, variance] = moments(numbers);
    const expected = 1 / (4 * (2 * a + 1));
    expect(Math.abs(mean - 0.5)).toBeLessThan(4 * Math.sqrt(expected / count));
    expect(Math.abs(variance / expected - 1)).toBeLessThan(0.03);
  });
  it("beta(1) is uniform, beta(0.8) has more at the ends", () => {
    const outer = (a: number) => many((random) => random.beta(a), `ends ${a}`).filter((x) => Math.abs(x - 0.5) > 0.4);
    expect(Math.abs(outer(1).length / count - 0.2)).toBeLessThan(0.01);
    // Twice the incomplete beta function I(0.1; 0.8, 0.8).
    expect(Math.abs(outer(0.8).length / count - 0.2636)).toBeLessThan(0.01);
  });
  it("integer: every number as often", () => {
    const counts = [0, 0, 0, 0, 0, 0, 0];
    for (const n of many((random) => random.integer(7), "integer")) counts[n]!++;
    for (const n of counts) expect(Math.abs(n - count / 7)).toBeLessThan(250);
  });
  it("permutation: every order of three as often", () => {
    const counts = new Map<string, number>();
    const random = new Random(fold(key(1), "permutation"));
    for (let i = 0; i < 6000; i++) {
      const order = random.permutation(3).join("");
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect([...counts.keys()].toSorted()).toEqual(["012", "021", "102", "120", "201", "210"]);
    for (const n of counts.values()) expect(Math.abs(n - 1000)).toBeLessThan(150);
    expect([...random.permutation(100)].toSorted((a, b) => a - b)).toEqual([...Array(100).keys()]);
  });
});
