import { expect, it } from "vitest";
import type { Source, Split } from "../../src/data/source.ts";
import { divide, splitNotes } from "../../src/evaluators/divide.ts";

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

it("divides train when no other split has labels, or only with a class that train has not", () => {
  const bare = { labels: [-1, -1], splits: times<Split>(2, "test") };
  const strange = { labels: [0, 2], splits: times<Split>(2, "test") };
  for (const other of [bare, strange]) {
    const { train: teach, validation, test } = parts(sourceOf(train, other));
    expect([teach.length, validation.length, test.length]).toEqual([35, 5, 10]);
    expect(Math.max(...teach, ...validation, ...test)).toBeLessThan(50);
  }
  expect(parts(sourceOf(train, held("validation"), strange)).test).toEqual([50, 51, 52]);
});

it("chooses on the images that teach where there is one of each class", () => {
  const few = { labels: [0, 1], splits: times<Split>(2, "train") };
  expect(parts(sourceOf(few, held("test")))).toEqual({ train: [0, 1], validation: [0, 1], test: [2, 3, 4] });
});

it("divides the others when train has no labels", () => {
  const source = sourceOf(
    { labels: times(9, -1), splits: times<Split>(9, "train") },
    { ...train, splits: times(50, "test") },
  );
  const { train: teach, validation, test } = parts(source);
  expect([teach.length, validation.length, test.length]).toEqual([35, 5, 10]);
  expect(Math.min(...teach, ...validation, ...test)).toBeGreaterThan(8);
  expect(splitNotes(source)).toEqual([
    "the training images have no labels: those of the other splits are divided for evaluation",
  ]);
});

it("says which splits cannot be used, and why", () => {
  expect(splitNotes(sourceOf(train, held("test")))).toEqual([]);
  expect(splitNotes(labelled([0, 1]))).toEqual([]);
  expect(splitNotes(sourceOf(train, { labels: [-1, 2], splits: ["test", "test"] }))).toEqual([
    "the test images are also of the class c, of which there is no training image: they are not used, and training " +
      "images are held back for evaluation",
  ]);
  expect(splitNotes(sourceOf(train, held("validation"), { labels: [-1], splits: ["test"] }))).toEqual([
    "the test images have no labels: they are not used",
  ]);
});
