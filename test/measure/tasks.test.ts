import { describe, expect, it } from "vitest";
import { emojiSpec, openEmoji } from "../../src/data/sources/emoji/source.ts";
import type { Features } from "../../src/evaluators/evaluator.ts";
import { type ListedTask, tasksOf } from "../../src/measure/tasks.ts";
import { folderOf, perfect } from "./folder.ts";

/** Those that take a moment. */
const onFeatures = (tasks: readonly ListedTask[]) =>
  tasks.filter(({ needs, protocol }) => needs === "features" && protocol !== "linear-sweep");

describe("a folder with classes", () => {
  it("gives every protocol, which good features pass", async () => {
    const path = await folderOf({ a: 20, b: 20 });
    const { tasks, source, shown } = await tasksOf(
      { kind: "folder", path },
      { settings: { "few-shot": { shots: [1], draws: 2 } } },
    );
    expect(source.length).toBe(40);
    expect(tasks.map(({ label }) => label)).toEqual([
      "k-NN, 2 classes",
      "linear probe, 2 classes",
      "1 label per class, 2 classes",
      "k-NN, leave one out of the training images, 2 classes",
      "linear sweep (lgp), 2 classes",
      "fine-tuning (full), 2 classes",
    ]);
    const features = await perfect(path);
    for (const task of onFeatures(tasks))
      expect((await task.run({ features: async () => features })).value, task.label).toBe(1);
    expect(shown.length).toBe(8);
    expect(tasks[0]!.chance).toBeCloseTo(0.5, 1);
  });

  it("gives the slow protocols too", async () => {
    const path = await folderOf({ a: 20, b: 20 });
    const settings = {
      "linear-sweep": { epochs: 3, learningRates: [1, 10] },
      "leave-one-out": { ks: [1, 3] },
      "few-shot": { preparation: "standardized" as const, shots: ["50%"] },
    };
    const { tasks } = await tasksOf({ kind: "folder", path }, { settings, threads: 1 });
    const features = async () => perfect(path);
    const found = (protocol: string) => tasks.find((task) => task.protocol === protocol)!;
    const sweep = await found("linear-sweep").run({ features });
    expect(sweep.value).toBe(1);
    expect(sweep.detail).toMatch(/^learning rate 10?, weight decay 0, epoch \d$/);
    const { value, detail } = await found("leave-one-out").run({ features });
    expect([value, detail]).toEqual([1, "k = 1, temperature 0.07"]);
    expect(await found("few-shot").run({ features })).toMatchObject({ value: 1, labels: 7 });
    expect(found("few-shot").label).toBe("50 % of labels, 2 classes");
    expect(found("fine-tune")).toMatchObject({ label: "fine-tuning (full), 2 classes", needs: "encoder" });
  });

  it("is split by the seed, class by class, without an image on two sides", async () => {
    const path = await folderOf({ a: 10, b: 30 });
    const shownBy = async (seed: number) => {
      const { shown } = await tasksOf({ kind: "folder", path }, { seed });
      return Array.from({ length: shown.length }, (_, i) => shown.id(i));
    };
    const first = await shownBy(0);
    expect(first.filter((id) => id.startsWith("a/"))).toHaveLength(2);
    expect(first.filter((id) => id.startsWith("b/"))).toHaveLength(6);
    expect(await shownBy(0)).toEqual(first);
    expect(await shownBy(1)).not.toEqual(first);

    // When no two images are alike, only one that is on both sides can be recognised.
    const { tasks } = await tasksOf({ kind: "folder", path });
    const identity = { rows: new Float32Array(1600), count: 40, width: 40 };
    for (let i = 0; i < 40; i++) identity.rows[41 * i] = 1;
    expect((await tasks[0]!.run({ features: async () => identity })).value).toBeLessThan(1);
  });

  it("leaves out what could not be read", async () => {
    const path = await folderOf({ a: 20, b: 20 });
    const { tasks } = await tasksOf({ kind: "folder", path });
    const bad = [0, 7, 23].map((index) => ({ index, id: String(index), reason: "broken" }));
    const features = await perfect(path, bad);
    for (const task of onFeatures(tasks))
      expect((await task.run({ features: async () => features })).value, task.label).toBe(1);
    const all = Array.from({ length: 40 }, (_, index) => ({ index, id: String(index), reason: "broken" }));
    const none = await perfect(path, all);
    await expect(tasks[0]!.run({ features: async () => none })).rejects.toThrow(
      /^none of the 28 images of the training split can be read/,
    );
  });

  it("trains on the only image of a class", async () => {
    const path = await folderOf({ a: 20, b: 20, c: 1 });
    const { tasks } = await tasksOf({ kind: "folder", path });
    expect(tasks.length).toBeGreaterThan(0);
    for (let seed = 0; seed < 5; seed++) {
      const { shown } = await tasksOf({ kind: "folder", path }, { seed });
      expect(Array.from({ length: shown.length }, (_, i) => shown.id(i))).not.toContain("c/0.png");
    }
  });

  it("of a few images has no tasks, and says why", async () => {
    const path = await folderOf({ a: 1, b: 2 });
    const { tasks, reason } = await tasksOf({ kind: "folder", path });
    expect(tasks).toEqual([]);
    expect(reason).toBe("3 images of 2 classes are too few to hold some back for validation and test");
  });
});

describe("a folder in splits", () => {
  /** Features of a source's images that are all different. */
  const identity = (count: number): Features => {
    const rows = new Float32Array(count * count);
    for (let i = 0; i < count; i++) rows[i * count + i] = 1;
    return { rows, count, width: count };
  };
  const splits = { "train/a": 20, "train/b": 20, "test/a": 3, "test/b": 5 };

  it("is tested on its test split, with or without one for validation", async () => {
    const held: Record<string, number>[] = [{}, { "val/a": 4, "val/b": 4 }];
    for (const more of held) {
      const path = await folderOf({ ...splits, ...more });
      const { source, shown, tasks } = await tasksOf({ kind: "folder", path, split: "train" }); // evaluation uses all
      expect(source.length).toBe(48 + ("val/a" in more ? 8 : 0));
      expect(Array.from({ length: shown.length }, (_, i) => shown.id(i).split("/")[0])).toEqual(Array(8).fill("test"));
      expect(tasks[0]).toMatchObject({ label: "k-NN, 2 classes", chance: 5 / 8 });
      expect((await tasks[0]!.run({ features: async () => identity(source.length) })).value).toBeLessThan(1);
    }
  });

  it("is not tested on a split with a class that train has not, and says so", async () => {
    const path = await folderOf({ "train/a": 20, "train/b": 20, "test/a": 3, "test/c": 5 });
    const { tasks, shown, notes } = await tasksOf({ kind: "folder", path });
    expect(tasks[0]).toMatchObject({ label: "k-NN, 2 classes", question: { classes: ["a", "b"] } });
    expect(new Set(Array.from({ length: shown.length }, (_, i) => shown.id(i).split("/")[0]))).toEqual(
      new Set(["train"]),
    );
    expect(notes).toEqual([expect.stringMatching(/^the test images are also of the class c, .* are not used, and /)]);
  });

  it("may have an image of each class to learn from", async () => {
    const path = await folderOf({ "train/a": 1, "train/b": 1, "test/a": 3, "test/b": 5 });
    const { tasks, source, notes } = await tasksOf({ kind: "folder", path });
    expect(notes).toEqual([expect.stringMatching(/^there are too few training images to hold some back: /)]);
    for (const task of tasks.filter(({ needs }) => needs === "features"))
      expect((await task.run({ features: async () => identity(source.length) })).value, task.label).not.toBeNaN();
  });

  it("of one class has no tasks, and says why", async () => {
    const { tasks, reason } = await tasksOf({
      kind: "folder",
      path: await folderOf({ "train/good": 9, "test/bad": 3, "test/good": 3 }),
    });
    expect(tasks).toEqual([]);
    expect(reason).toMatch(
      /^the training images are of less than two classes; the test images are also of the class bad/,
    );
  });

  it("may be limited", async () => {
    const path = await folderOf(splits);
    const { source, shown } = await tasksOf({ kind: "folder", path }, { limit: 24 });
    expect(source.length).toBe(24);
    expect(shown.length).toBe(4);
    await expect(tasksOf({ kind: "emoji" }, { limit: 24 })).rejects.toThrow("leave out the limit");
  });
});

it("images without classes have no tasks, and all are shown", async () => {
  const path = await folderOf({ ".": 6 });
  const { tasks, reason, shown } = await tasksOf({ kind: "folder", path });
  expect(tasks).toEqual([]);
  expect(reason).toMatch(/^these images have no classes/);
  expect(shown.length).toBe(6);
});

describe("emoji", () => {
  const spec = emojiSpec.parse({ kind: "emoji", size: 16, styles: ["twemoji", "noto"], split: "train" });

  it("tests on concepts that nobody trained on, and on styles held out", async () => {
    const { source, tasks, shown } = await tasksOf(spec);
    const conceptsOf = async (split: "train" | "validation" | "test") =>
      new Set((await openEmoji({ ...spec, split })).drawings.map(({ concept }) => concept));
    const [train, validation, test] = [
      await conceptsOf("train"),
      await conceptsOf("validation"),
      await conceptsOf("test"),
    ];
    for (const concept of test) expect(train.has(concept) || validation.has(concept)).toBe(false);
    for (const concept of validation) expect(train.has(concept)).toBe(false);
    const ids = ({ length, id }: typeof shown) => Array.from({ length }, (_, i) => id(i));
    expect(ids(shown)).toEqual(ids(await openEmoji({ ...spec, split: "test" })));
    const labels = tasks.map(({ label }) => label);
    expect(labels.filter((label) => label.includes("another style"))).toEqual([
      "same concept in another style, noto → twemoji",
    ]);
    expect(labels.some((label) => label.includes("never seen (openmoji, fluent-emoji-flat, emojione)"))).toBe(true);
    const { rows } = tasks.find(({ label }) => label.includes("never seen"))!.question!;
    for (const row of rows.train) expect(source.id(row)).toMatch(/^(twemoji|noto)\//);
    for (const row of rows.test) expect(source.id(row)).not.toMatch(/^(twemoji|noto)\//);
    expect(rows.test.every((row) => source.split!(row) === "test")).toBe(true);
  });
});
