import { expect, it } from "vitest";
import { layout } from "../../../src/data/sources/layout.ts";
import { splitOfName } from "../../../src/data/source.ts";

/** Classes, notes, and what becomes of every image: `split class`. */
function read(...names: readonly string[]) {
  const { classes = [], labelOf, splitOf, notes } = layout({ length: names.length, name: (i) => names[i]! });
  const images = names.map((_, i) => {
    const label = labelOf!(i);
    return `${splitOf?.(i) ?? "any"} ${label === -1 ? "-" : classes[label]}`;
  });
  return { classes, images, notes };
}

it.each([
  ["train", "train"],
  ["Training", "train"],
  ["seg_train", "train"],
  ["train2017", "train"],
  ["TRAIN (1)", "train"],
  ["trainval", "train"],
  ["unlabeled", "train"],
  ["val", "validation"],
  ["valid", "validation"],
  ["Validation", "validation"],
  ["dev.1", "validation"],
  ["test", "test"],
  ["images-testing", "test"],
  ["eval", "test"],
  ["Evaluation", "test"],
  ["trains", undefined],
  ["latest", undefined],
  ["devices", undefined],
  ["train_test", undefined],
  ["", undefined],
])("%s is called like %s", (name, split) => {
  expect(splitOfName(name)).toBe(split);
});

it.each([
  [["train/cat/1", "train/dog/2", "valid/cat/3", "test/dog/4"], "validation cat"],
  [["Training/cat/1", "Training/dog/2", "dev/cat/3", "Testing/dog/4"], "validation cat"],
  // one folder around all, and the same again in every split
  [["pets/train/cat/1", "pets/train/dog/2", "pets/val/cat/3", "pets/test/dog/4"], "validation cat"],
  [["a/b/train/train/cat/1", "a/b/train/train/dog/2", "a/b/val/val/cat/3", "a/b/test/dog/4"], "validation cat"],
  [["train/images/cat/1", "train/images/dog/2", "val/images/cat/3", "test/images/dog/4"], "validation cat"],
  [["train/cat/1", "train/dog/2", "val/images/cat/3", "test/images/dog/4"], "validation cat"],
  // classes above splits
  [["cat/train/1", "dog/train/2", "cat/val/3", "dog/test/4"], "validation cat"],
  // two folders of one split
  [["train_1/cat/1", "train_2/dog/2", "val/cat/3", "test/dog/4"], "validation cat"],
  [["train/cat/1", "train/dog/2", "val/cat/3", "validation/dog/4"], "validation cat"],
])("%j: splits and classes", (names, third) => {
  const { classes, images, notes } = read(...names);
  expect(classes).toEqual(["cat", "dog"]);
  expect(images.slice(0, 3)).toEqual(["train cat", "train dog", third]);
  expect(images[3]).toMatch(/^(test|validation) dog$/);
  expect(notes).toEqual([]);
});

it("folders around all images of a split are no classes of it", () => {
  // as Tiny ImageNet has them
  expect(read("train/n1/images/1", "train/n2/images/2", "val/images/3", "test/images/4")).toEqual({
    classes: ["n1", "n2"],
    images: ["train n1", "train n2", "validation -", "test -"],
    notes: [],
  });
  // a single class of test that train has as well is one
  expect(read("train/cat/1", "train/dog/2", "test/dog/3").images[2]).toBe("test dog");
});

it("one form of Unicode for names", () => {
  const [composed, decomposed] = ["caf\u00e9", "cafe\u0301"];
  expect(read(`train/${composed}/1`, "train/tea/2", `test/${decomposed}/3`)).toMatchObject({
    classes: [composed, "tea"],
    images: ["train caf\u00e9", "train tea", "test caf\u00e9"],
  });
});

it("what lies beside splits is trained on without a class, and named", () => {
  expect(read("train/cat/1", "train/dog/2", "test/cat/3", "extra/4", "extra/x/5")).toEqual({
    classes: ["cat", "dog"],
    images: ["train cat", "train dog", "test cat", "train -", "train -"],
    notes: ["2 images lie in no split, but beside test and train (extra/4): trained on without a class"],
  });
  expect(read("train/cat/1", "train/dog/2", "test/cat/3", "stray").notes).toHaveLength(1);
});

it("a class of another split may be spelled in other capitals", () => {
  expect(read("Train/Cat/1", "Train/Dog/2", "Valid/cat/3").images).toEqual([
    "train Cat",
    "train Dog",
    "validation Cat",
  ]);
});

it("train and test called just so are splits among more folders of other kinds", () => {
  expect(read("train/cat/1", "train/dog/2", "test/cat/3", "masks/4", "visualised/5")).toMatchObject({
    classes: ["cat", "dog"],
    images: ["train cat", "train dog", "test cat", "train -", "train -"],
  });
});

it("parts with the same classes are no classes when one is called like a split", () => {
  expect(read("train/cat/1", "train/dog/2", "holdout/cat/3", "holdout/dog/4")).toEqual({
    classes: ["cat", "dog"],
    images: ["any cat", "any dog", "any cat", "any dog"],
    notes: ["train is called like a split, but not holdout: all images are taken together"],
  });
});

it("no splits are made up, and it is said", () => {
  expect(read("car/1", "bus/2", "train/3", "plane/4", "boat/5", "bike/6")).toMatchObject({
    classes: ["bike", "boat", "bus", "car", "plane", "train"],
    notes: ["train is called like a split, but not bike, boat, bus and 2 more: all are taken for classes"],
  });
  expect(read("test/a/1", "val/a/2", "test/b/3")).toEqual({
    classes: ["a", "b"],
    images: ["any a", "any a", "any b"],
    notes: ["test and val are called like splits, but none like train: all images are taken together, without splits"],
  });
  expect(read("train/a/1", "train/b/2")).toEqual({ classes: ["a", "b"], images: ["any a", "any b"], notes: [] });
  expect(read("labeled/a/1", "labeled/b/2", "unlabeled/3")).toMatchObject({
    classes: ["a", "b"],
    images: ["any a", "any b", "any -"],
  });
});

it("images beside the folders, and how many, are why there are no classes", () => {
  expect(read("cat/1", "dog/2", "3", "4")).toMatchObject({
    classes: [],
    notes: ["2 images lie beside the folders cat and dog (3), so that these are no classes"],
  });
  expect(read("1", "2")).toMatchObject({ classes: [], notes: [] });
  expect(read("photos/1", "2").notes).toEqual([]);
});
