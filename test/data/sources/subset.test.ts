import { expect, it } from "vitest";
import type { Source, Split } from "../../../src/data/source.ts";
import { openSource } from "../../../src/data/sources/open.ts";
import { sample, slice, stratifiedSample, subset } from "../../../src/data/sources/subset.ts";

const idsOf = (source: Source) => Array.from({ length: source.length }, (_, i) => source.id(i));

it("a subset is the same images under other numbers", async () => {
  const whole = await openSource({ kind: "synthetic", length: 9 });
  const part = subset({ ...whole, split: (i) => (i < 5 ? "train" : "test") }, [7, 2]);
  expect(idsOf(part)).toEqual([whole.id(7), whole.id(2)]);
  expect([part.label(1), part.split!(0), part.split!(1)]).toEqual([whole.label(2), "test", "train"]);
  expect(await part.load(0)).toEqual(await whole.load(7));
  expect(subset(whole, [7]).split).toBeUndefined();
});

it("blocks are those of the images that are left", async () => {
  const whole: Source = { ...(await openSource({ kind: "synthetic", length: 12 })), blocks: [0, 4, 6, 9] };
  expect(Array.from(subset(whole, [1, 3, 7, 9, 11]).blocks!)).toEqual([0, 2, 3]);
  expect(Array.from(subset(whole, [6, 7, 8]).blocks!)).toEqual([0]);
  expect(subset(whole, [3, 1]).blocks).toBeUndefined();
  const part = slice(whole, 5, 5);
  expect(Array.from(part.blocks!)).toEqual([0, 1, 4]);
  expect(idsOf(part)).toEqual(idsOf(whole).slice(5, 10));
  expect(await part.load(1)).toEqual(await whole.load(6));
});

it("a sample is drawn by the seed, in order", async () => {
  const whole = await openSource({ kind: "synthetic", length: 50 });
  const numbers = (seed: number) => idsOf(sample(whole, 10, seed)).map((id) => Number(id.split(" ")[1]));
  expect(numbers(0)).toHaveLength(10);
  expect(numbers(0)).toEqual(numbers(0).toSorted((a, b) => a - b));
  expect(numbers(1)).not.toEqual(numbers(0));
  expect(sample(whole, 50, 0)).toBe(whole);
});

it("a stratified sample has the same share of every class of every split, and one of each at least", async () => {
  const whole = await openSource({ kind: "synthetic", length: 1 });
  const groups: [label: number, split: Split, count: number][] = [
    [0, "train", 60],
    [1, "train", 30],
    [2, "train", 2],
    [0, "test", 20],
    [1, "test", 10],
    [-1, "test", 50],
  ];
  const images = groups.flatMap(([label, split, count]) => Array.from({ length: count }, () => ({ label, split })));
  const source: Source = {
    ...whole,
    length: images.length,
    id: String,
    label: (i) => images[i]!.label,
    split: (i) => images[i]!.split,
  };
  const drawn = stratifiedSample(source, 25, 0);
  expect(drawn.length).toBe(25);
  const counts = groups.map(
    ([label, split]) => idsOf(drawn).filter((_, i) => drawn.label(i) === label && drawn.split!(i) === split).length,
  );
  for (const [g, expected] of [12, 6, 1, 4, 2, 0].entries())
    expect(Math.abs(counts[g]! - expected), `group ${g}`).toBeLessThanOrEqual(expected === 1 ? 0 : 1);
  expect(idsOf(drawn).map(Number)).toEqual(
    idsOf(drawn)
      .map(Number)
      .toSorted((a, b) => a - b),
  );
  expect(idsOf(stratifiedSample(source, 25, 0))).toEqual(idsOf(drawn));
  expect(idsOf(stratifiedSample(source, 25, 1))).not.toEqual(idsOf(drawn));
  expect(stratifiedSample(source, undefined, 0)).toBe(source);
});
