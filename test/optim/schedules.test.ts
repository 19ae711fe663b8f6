import { expect, it } from "vitest";
import { scaleByBatch, straight, warmupConstant, warmupCosine } from "../../src/optim/schedules.ts";
import { mocov3 } from "../../src/objectives/mocov3.ts";

// The paper's schedule: 300 epochs, 40 of them warm-up, batch 4096
it.each([
  ["lower stages", 1.5e-5, [0, 1.2e-4, 2.4e-4, 1.2e-4]],
  ["upper stage", 1.5e-4, [0, 1.2e-3, 2.4e-3, 1.2e-3]],
])("learning rates of the paper's %s", (_, base, expected) => {
  const peak = scaleByBatch(base, 4096);
  for (const [i, time] of [0, 20, 40, 170].entries())
    expect(warmupCosine(time, { peak, warmup: 40, total: 300 })).toBeCloseTo(expected[i]!, 12);
});

it("ViT-L's peak at its batch of 2080", () => {
  expect(scaleByBatch(1.5e-4, 2080)).toBeCloseTo(1.21875e-3, 12);
});

it("ends at `end`, works without warm-up, falls all the way", () => {
  const options = { peak: 1, warmup: 0, total: 10, end: 0.1 };
  expect(warmupCosine(0, options)).toBe(1);
  expect(warmupCosine(5, options)).toBeCloseTo(0.55, 12);
  expect(warmupCosine(10, options)).toBeCloseTo(0.1, 12);
  for (let time = 1; time <= 10; time++)
    expect(warmupCosine(time, options)).toBeLessThan(warmupCosine(time - 1, options));
});

it.each([
  [0, 0],
  [5, 0.5],
  [10, 1],
  [50, 1],
  [90, 1],
  [95, 0.6],
  [100, 0.2],
])("warm-up, a constant rate, and straight down in the last tenth: at %d of 100 it is %d", (time, expected) => {
  expect(warmupConstant(time, { peak: 1, warmup: 10, total: 100, anneal: 0.1, end: 0.2 })).toBeCloseTo(expected, 12);
});

it("a constant rate knows nothing of the end until it is annealed, and without annealing never falls", () => {
  const options = { peak: 1, warmup: 10, anneal: 0.1 };
  for (let time = 0; time < 90; time++)
    expect(warmupConstant(time, { ...options, total: 100 })).toBe(warmupConstant(time, { ...options, total: 1e6 }));
  expect(warmupConstant(99.9, { ...options, total: 100, anneal: 0 })).toBe(1);
});

it("goes straight from one value to another", () => {
  expect([0, 0.25, 1].map((share) => straight(share, 2, 4))).toEqual([2, 2.5, 4]);
});

// MoCo v3: 0.99 at the start, half a cosine to 1
it.each([
  [0, 0.99],
  [1 / 4, 0.991464],
  [1 / 2, 0.995],
  [3 / 4, 0.998536],
  [1, 1],
])("MoCo v3's momentum after %d of the stage is %d", (progress, expected) => {
  const model = { imageSize: 8, patchSize: 4, width: 16, depth: 1, heads: 2 };
  const { copies } = mocov3(model, { mlpDim: 8, dim: 4, temperature: 0.2, momentum: 0.99 });
  expect(copies![0]!.momentum!(progress)).toBeCloseTo(expected, 6);
});
