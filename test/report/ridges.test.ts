import { expect, it } from "vitest";
import { conflictRows } from "../../src/evaluators/conflict.ts";
import { cosineDomain, density, ridgeChart } from "../../src/report/ridges.ts";

const norms = { group: "block", mimNorm: 1, clNorm: 1 } as const;
const rowsOf = (batches: readonly (readonly number[])[]) =>
  conflictRows(batches.map((batch) => batch.map((cosine, block) => ({ block, cosine, ...norms })))).rows;

it("a density lies on both sides of zero and peaks where the values are", () => {
  const curve = density([0.2, 0.21, 0.19, 0.2], [-0.5, 0.5]);
  expect(curve.filter(({ x }) => x === 0).length).toBeGreaterThan(0);
  const peak = curve.reduce((best, point) => (point.y > best.y ? point : best));
  expect(peak.x).toBeCloseTo(0.2, 2);
  expect(curve[0]!.y).toBeLessThan(1e-6);
});

it("the axis always reaches around zero and never beyond 1", () => {
  expect(cosineDomain(rowsOf([[0.5], [0.99]]))).toEqual([expect.closeTo(-0.1188), 1]);
  const [low, high] = cosineDomain(rowsOf([[-0.1], [-0.2]]));
  expect(low).toBeLessThan(-0.2);
  expect(high).toBeGreaterThan(0);
});

it.each([
  ["several batches", [[0.1, -0.1, 0.3], [0.2, -0.3, -0.1]]], // prettier-ignore
  ["one batch", [[0.1, -0.1]]],
  [
    "equal values",
    [
      [0, 0.5],
      [0, 0.5],
    ],
  ],
  ["one block", [[0.4], [-0.4]]],
])("ridges of %s are drawn with the share below zero", (_, batches) => {
  const rows = rowsOf(batches);
  for (const size of ["large", "small"] as const) {
    const { text } = ridgeChart(rows, { label: "cosines", domain: cosineDomain(rows), size });
    expect(text).toContain('aria-label="cosines"');
    expect(text).not.toMatch(/NaN|Infinity|undefined/);
    for (const { negative } of rows) expect(text).toContain(`>${Math.round(100 * negative)}\u202f%<`);
  }
});
