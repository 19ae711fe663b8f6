import { expect, test } from "vitest";
import { layerOrder } from "../../src/report/charts.ts";
import { seriesOf, smooth, stagesOf, thin } from "../../src/report/series.ts";

const line = Array.from({ length: 100 }, (_, x) => ({ x, y: 2 * x }));

test("smoothing keeps a line at its start and a constant everywhere", () => {
  const smoothed = smooth(line, 10);
  expect(smoothed.slice(0, 90)).toEqual(line.slice(0, 90));
  const constant = line.map(({ x }) => ({ x, y: 3 }));
  for (const { y } of smooth(constant, 7)) expect(y).toBeCloseTo(3, 12);
});

test("the last smoothed value is a mean, not the last value", () => {
  const spike = line.map(({ x }) => ({ x, y: x === 99 ? 11 : 1 }));
  expect(smooth(spike, 20).at(-1)!.y).toBeCloseTo(1 + 10 / 11, 12);
});

test("thinning keeps order and extremes", () => {
  const points = Array.from({ length: 10_000 }, (_, x) => ({ x, y: x === 5555 ? 100 : Math.sin(x) }));
  const few = thin(points, 300);
  expect(few.length).toBeLessThanOrEqual(300);
  expect(few).toContainEqual({ x: 5555, y: 100 });
  expect(few.every(({ x }, i) => i === 0 || x > few[i - 1]!.x)).toBe(true);
  expect(thin(line, 100)).toEqual(line);
});

test("a series leaves out what is no finite number and falls back to steps", () => {
  const rows = [
    { stage: "a", step: 1, loss: 1 },
    { stage: "a", step: 2, loss: Number.NaN },
    { stage: "a", step: 3 },
    { stage: "a", step: 4, epoch: 0.5, loss: 4 },
  ];
  expect(seriesOf(rows, "loss")).toEqual([
    { x: 1, y: 1 },
    { x: 0.5, y: 4 },
  ]);
});

test("a stage's time counts the steps between logged rows", () => {
  const rows = [
    { stage: "mim", step: 10, secondsPerStep: 2 },
    { stage: "mim", step: 30, secondsPerStep: 1 },
    { stage: "cl", step: 5 },
  ];
  expect(stagesOf(rows).map(({ name, seconds }) => [name, seconds])).toEqual([
    ["mim", 40],
    ["cl", undefined],
  ]);
});

test("layers of several stages are merged in order", () => {
  const stages = [
    { stage: "mim", layers: layersOf("patch", "block", "norm", "decoder") },
    { stage: "cl", layers: layersOf("patch", "block", "norm", "head") },
  ];
  expect(layerOrder({ stages })).toEqual(["patch", "block", "norm", "head", "decoder"]);
});

function layersOf(...names: string[]) {
  return names.map((layer) => ({ layer, rate: 1 }));
}
