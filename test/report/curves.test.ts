import { expect, it } from "vitest";
import { bestOf, curveChart, spaced, spreadOut } from "../../src/report/curves.ts";
import { labelsFor } from "../../src/report/sections/label-efficiency.ts";

const curve = (title: string, ys: readonly number[]) => ({
  title,
  color: "var(--stage-1)",
  points: ys.map((y, i) => ({ x: 10 ** i, y })),
});

it("titles keep their distance and their order, and none rises above the top", () => {
  const placed = spreadOut([{ y: 9.9 }, { y: 10 }, { y: 3 }, { y: 9.8 }], 1, 10).map(({ y, place }) => [y, place]);
  expect(placed).toEqual([
    [3, 3],
    [9.8, 8],
    [9.9, 9],
    [10, 10],
  ]);
});

it("ticks that would touch are left out", () => {
  expect(spaced([1, 1.6, 2, 5, 5.2, 10], Math.log, 0.5)).toEqual([1, 2, 5, 10]);
});

it("every tick of a logarithmic axis has its label, whatever its first digit", () => {
  const line = { ...curve("a", []), points: [1, 9, 90].map((x) => ({ x, y: x })) };
  const { text } = curveChart([line], { label: "x", log: true });
  for (const x of [1, 9, 90]) expect(text).toContain(`>${x}</text>`);
});

it("titles stand at the lines' ends while there is room, else below", () => {
  const few = curveChart([curve("a", [0.1, 0.2]), curve("b", [0.3, 0.4])], { label: "x", log: true }).text;
  expect(few).not.toContain("legend");
  expect(few).toMatch(/>b<\/text>/);
  const many = Array.from({ length: 30 }, (_, i) => curve(`encoder ${i}`, [0.1 * i, 0.2 * i]));
  const crowded = curveChart(many, { label: "x", log: true }).text;
  expect(crowded.match(/<li>/g)).toHaveLength(30);
  expect(crowded).not.toMatch(/>encoder 3<\/text>/);
});

it("parts of one line share a title", () => {
  const { text } = curveChart([curve("a", [0.1, 0.2]), curve("a", [0.3, 0.4])], { label: "x", log: true });
  expect(text.match(/>a<\/text>/g)).toHaveLength(1);
});

it.each([
  ["a constant", [curve("a", [0.5, 0.5])]],
  ["a single point", [curve("a", [0.5])]],
  ["zeros", [curve("a", [0, 0, 0])]],
])("%s is drawn", (_, curves) => {
  for (const log of [true, false])
    expect(curveChart(curves, { label: "x", log, level: { title: "chance", y: 0.5 }, best: true }).text).not.toMatch(
      /NaN|Infinity|undefined/,
    );
});

it("the best point is the first of the highest", () => {
  expect(bestOf(curve("a", [0.1, 0.4, 0.4]))).toMatchObject({ x: 10, y: 0.4 });
});

it("labels needed are read off the line", () => {
  const line = curve("a", [0.1, 0.3, 0.5]);
  expect(labelsFor(line, 0.2)).toBe("about 3.2"); // 10 ** 0.5
  expect(labelsFor(line, 0.5)).toBe("about 100");
  expect(labelsFor(line, 0.05)).toBe("1 or fewer");
  const falling = { ...line, points: line.points.map(({ x, y }) => ({ x, y: -y })) };
  expect(labelsFor(falling, -0.2, "lower")).toBe("about 3.2");
});
