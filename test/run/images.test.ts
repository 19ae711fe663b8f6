import { expect, test } from "vitest";
import type { Source } from "../../src/data/source.ts";
import { differenceOf, imagesIn, readImages, writeImages } from "../../src/run/images.ts";
import { temporaryRun } from "./temporary.ts";

const source = (...names: string[]): Source => ({
  name: "photos",
  length: names.length,
  classes: [],
  id: (i) => names[i]!,
  label: () => -1,
  load: () => Promise.reject(new Error("no image is looked at")),
});

test("a run folder keeps number and names", () => {
  const dir = temporaryRun();
  expect(readImages(dir)).toBeUndefined();
  const images = imagesIn(source("a.jpg", "b.jpg"));
  writeImages(dir, images);
  expect(readImages(dir)).toEqual(images);
  expect(images).toMatchObject({ count: 2, names: expect.stringMatching(/^[0-9a-f]{64}$/) });
});

test.each([
  ["fewer", ["a"], "2 images, but photos has 1"],
  ["more", ["a", "b", "c"], "2 images, but photos has 3"],
  ["others", ["a", "c"], "2 images, and photos has as many, but with other names or in another order"],
  ["another order", ["b", "a"], "2 images, and photos has as many, but with other names or in another order"],
])("%s are told apart", (_, names, difference) => {
  expect(differenceOf(imagesIn(source("a", "b")), imagesIn(source(...names)), "photos")).toBe(difference);
});

test("the same letters in another form are the same names", () => {
  expect(differenceOf(imagesIn(source("\u00e9.jpg")), imagesIn(source("e\u0301.jpg")), "photos")).toBeUndefined();
});

test("every name counts, also of many", () => {
  const names = Array.from({ length: 20_000 }, (_, i) => `class/${i}.jpg`);
  const changed = names.with(19_998, "class/other.jpg");
  expect(imagesIn(source(...changed)).names).not.toBe(imagesIn(source(...names)).names);
});
