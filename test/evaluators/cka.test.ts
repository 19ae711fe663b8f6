import { expect, it } from "vitest";
import { cka, gram } from "../../src/evaluators/cka.ts";
import type { Features } from "../../src/evaluators/evaluator.ts";
import { randomFor } from "../helpers.ts";
import { featuresOf } from "./toy.ts";

function noise(name: string, count: number, width: number): Features {
  const random = randomFor("cka", name);
  return { rows: Float32Array.from({ length: count * width }, () => random.normal()), count, width };
}

const alike = (a: Features, b: Features) => cka([gram(a)], [gram(b)])[0]![0]!;

it("is 1 for the same features turned, scaled and moved, and small for others", () => {
  const features = noise("some", 300, 2);
  const turned = featuresOf(
    Array.from({ length: 300 }, (_, i) => {
      const [x, y] = [features.rows[2 * i]!, features.rows[2 * i + 1]!];
      return [7 - 3 * y, 3 * x - 20];
    }),
  );
  expect(alike(features, features)).toBeCloseTo(1, 12);
  expect(alike(features, turned)).toBeCloseTo(1, 5);
  expect(alike(features, noise("others", 300, 5))).toBeLessThan(0.05);
});

it("is 0 for features that do not differ", () => {
  const constant = featuresOf(Array.from({ length: 4 }, () => [1, 2]));
  expect(alike(constant, noise("some", 4, 3))).toBe(0);
});

it("refuses features of other images", () => {
  expect(() => alike(noise("some", 4, 3), noise("some", 5, 3))).toThrow(
    "CKA compares features of the same images, but there are 4 of one and 5 of the other",
  );
});
