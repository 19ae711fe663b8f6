import { expect, it } from "vitest";
import { bytesOf, type ImageIndex, IndexBuilder, nameOf } from "../../../src/data/sources/image-index.ts";
import { openIndexed } from "../../../src/data/sources/indexed.ts";
import type { Split } from "../../../src/data/source.ts";

const options = { name: "these", splitHelp: "said", load: async (i: number) => ({ width: i, height: 1, data: bytes }) };
const bytes = new Uint8Array(0);

function indexOf(splits: readonly Split[]): ImageIndex {
  const images = new IndexBuilder("file", "offset");
  for (const i of splits.keys()) images.add(`${i}.png`, { file: i % 2, offset: 512 * i + 2 ** 33 });
  const facts = { classes: ["a", "b"], labelOf: (i: number) => (i % 3) - 1, splitOf: (i: number) => splits[i]! };
  return images.finish({ ...facts, files: ["/x.tar", "/y.tar"], blocks: [0, 2], dependencies: [] });
}

it("an index has its columns in shared memory, as narrow as their numbers allow", () => {
  const index = indexOf(["train", "test", "train"]);
  const { names, ends, labels, splits, places, blocks } = index;
  for (const column of [names, ends, labels!, splits!, places["file"]!, places["offset"]!, blocks!])
    expect(column.buffer).toBeInstanceOf(SharedArrayBuffer);
  expect([...places["file"]!]).toEqual([0, 1, 0]);
  expect([...places["offset"]!]).toEqual([2 ** 33, 2 ** 33 + 512, 2 ** 33 + 1024]);
  expect(bytesOf(index)).toBe(3 * 5 + 3 + 3 * 4 + 3 + 3 + 3 * 8 + 2);
  expect(nameOf(index, 1).toString()).toBe("1.png");
});

it("a builder takes any number of names of any length", () => {
  const images = new IndexBuilder();
  const names = Array.from({ length: 3000 }, (_, i) => "x".repeat(i % 7 === 0 ? 0 : i));
  for (const name of names) images.add(name, {});
  const index = images.finish({ dependencies: [] });
  const source = openIndexed(index, options);
  expect(Array.from({ length: source.length }, (_, i) => source.id(i))).toEqual(names);
  expect([source.label(5), source.split, source.blocks]).toEqual([-1, undefined, undefined]);
});

it("a split is a stretch of the images, or those that are of it", async () => {
  for (const splits of [
    ["test", "test", "train", "train", "train"],
    ["train", "test", "train", "test", "train"],
  ] as const) {
    const index = indexOf(splits);
    const train = openIndexed(index, { ...options, split: "train" });
    const expected = splits.flatMap((split, i) => (split === "train" ? [i] : []));
    expect(train.length).toBe(3);
    expect([0, 1, 2].map((i) => train.id(i))).toEqual(expected.map((i) => `${i}.png`));
    expect([0, 1, 2].map((i) => train.label(i))).toEqual(expected.map((i) => (i % 3) - 1));
    expect([0, 1, 2].map((i) => train.split!(i))).toEqual(["train", "train", "train"]);
    expect((await train.load(2)).width).toBe(4);
    expect(() => openIndexed(index, { ...options, split: "validation" })).toThrow("these has no validation split");
  }
});
