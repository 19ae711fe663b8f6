import { expect, it } from "vitest";
import type { Source, Split } from "../../src/data/source.ts";
import { divide, untaught } from "../../src/evaluators/divide.ts";

/** A source of nothing but labels, and splits where they are given. */
function labelled(labels: readonly number[], splits?: readonly Split[]): Source {
  return {
    name: "labels",
    length: labels.length,
    classes: ["a", "b", "c"],
    id: String,
    label: (i) => labels[i]!,
    load: () => Promise.reject(new Error("there are no images")),
    ...(splits === undefined ? {} : { split: (i: number) => splits[i]! }),
  };
}
const parts = (source: Source, seed = 0) =>
  divide(
    source,
    Int32Array.from({ length: source.length }, (_, i) => source.label(i)),
    seed,
  );
const times = <T>(count: number, value: T) => Array<T>(count).fill(value);

it("takes 70, 10 and 20 % of every class where nothing is said", () => {
  const labels = [...times(100, 0), ...times(50, 1), -1];
  const { train, validation, test } = parts(labelled(labels));
  for (const [rows, share] of [
    [train, 0.7],
    [validation, 0.1],
    [test, 0.2],
  ] as const)
    for (const [label, count] of [
      [0, 100],
      [1, 50],
    ] as const)
      expect(rows.filter((row) => labels[row] === label)).toHaveLength(Math.round(share * count));
  expect([...train, ...validation, ...test].sort((a, b) => a - b)).toEqual([...Array(150).keys()]);
  expect(parts(labelled(labels), 1).test).not.toEqual(test);
});

const train = { labels: [...times(20, 0), ...times(30, 1)], splits: times<Split>(50, "train") };
const held = (split: Split) => ({ labels: [0, 1, 1], splits: times<Split>(3, split) });
const sourceOf = (...given: { labels: number[]; splits: Split[] }[]) =>
  labelled(
    given.flatMap(({ labels }) => labels),
    given.flatMap(({ splits }) => splits),
  );

it("keeps the splits of the source when there are three", () => {
  const found = parts(sourceOf(train, held("validation"), held("test")));
  expect(found).toEqual({ train: [...Array(50).keys()], validation: [50, 51, 52], test: [53, 54, 55] });
});

it.each(["validation", "test"] as const)("holds a tenth of train back when there is only %s", (split) => {
  const found = parts(sourceOf(train, held(split)));
  expect(found.test).toEqual([50, 51, 52]);
  expect(found.train).toHaveLength(45);
  expect(found.validation.filter((row) => row < 20)).toHaveLength(2);
  expect(found.validation.filter((row) => row >= 20)).toHaveLength(3);
  expect([...found.train, ...found.validation].sort((a, b) => a - b)).toEqual([...Array(50).keys()]);
});

it("tests on validation when the test images have no classes", () => {
  const bare = { labels: [-1, -1], splits: times<Split>(2, "test") };
  expect(parts(sourceOf(train, held("validation"), bare)).test).toEqual([50, 51, 52]);
});

it("finds a class that is not taught", () => {
  expect(untaught(sourceOf(train, held("test")))).toBeUndefined();
  expect(untaught(sourceOf(train, { labels: [-1, 2], splits: ["test", "test"] }))).toBe(2);
  expect(untaught(labelled([0, 1]))).toBeUndefined();
});
