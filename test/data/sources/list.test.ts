import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { encodePng } from "../../../src/data/formats/png.ts";
import type { Split } from "../../../src/data/source.ts";
import { openSource } from "../../../src/data/sources/open.ts";
import { temporaryFolder } from "../../run/temporary.ts";

/** A folder `pictures` with three one-colour images, and beside it a list of this text. */
async function listOf(text: string): Promise<string> {
  const dir = temporaryFolder();
  mkdirSync(join(dir, "pictures"));
  for (const [i, name] of ["a.png", "b.png", "c d.png"].entries()) {
    const data = new Uint8Array(3 * 8 * 4).fill(50 * i);
    writeFileSync(join(dir, "pictures", name), await encodePng({ width: 8, height: 4, data }));
  }
  writeFileSync(join(dir, "list.txt"), text);
  return dir;
}

const open = async (text: string, changes: { root?: string; shortSide?: number; split?: Split } = {}) => {
  const dir = await listOf(text);
  const root = changes.root === undefined ? {} : { root: join(dir, changes.root) };
  return openSource({ kind: "list", path: join(dir, "list.txt"), ...changes, ...root });
};
const facts = ({ length, id, label }: Awaited<ReturnType<typeof openSource>>) =>
  Array.from({ length }, (_, i) => [id(i), label(i)]);

describe("a list of images", () => {
  it("has them in its order, with the classes its labels name", async () => {
    const source = await open("pictures/c d.png owl\r\npictures/a.png bat\r\npictures/b.png owl");
    expect(source.classes).toEqual(["bat", "owl"]);
    expect(facts(source)).toEqual([
      ["pictures/c d.png", 1],
      ["pictures/a.png", 0],
      ["pictures/b.png", 1],
    ]);
    expect([...(await source.load(0)).data.subarray(0, 3)]).toEqual([100, 100, 100]);
    expect(source.split).toBeUndefined();
  });

  it("sorts labels that are numbers by size", async () => {
    const source = await open("a.png 10\nb.png 9\nc d.png 10", { root: "pictures" });
    expect(source.classes).toEqual(["9", "10"]);
    expect(facts(source).map(([, label]) => label)).toEqual([1, 0, 1]);
    expect((await source.load(1)).data[0]).toBe(50);
  });

  it.each(["a.png\nc d.png\n", "a.png 3\nc d.png 3\n"])("has no classes without two labels: %j", async (text) => {
    const source = await open(text, { root: "pictures" });
    expect(source.classes).toEqual([]);
    expect(facts(source)).toEqual([
      ["a.png", -1],
      ["c d.png", -1],
    ]);
  });

  it("reduces large images", async () => {
    const { width, height } = await (await open("a.png", { root: "pictures", shortSide: 2 })).load(0);
    expect([width, height]).toEqual([4, 2]);
  });

  it("has the splits that its lines end in", async () => {
    const text = "a.png bat train\nc d.png owl test\nb.png owl train";
    const all = await open(text, { root: "pictures" });
    expect([0, 1, 2].map((i) => all.split!(i))).toEqual(["train", "test", "train"]);
    const train = await open(text, { root: "pictures", split: "train" });
    expect(facts(train)).toEqual([
      ["a.png", 0],
      ["b.png", 1],
    ]);
    expect((await train.load(1)).data[0]).toBe(50);
    await expect(open(text, { split: "validation" })).rejects.toThrow(/list\.txt has no validation split$/);
    await expect(open("a.png bat\n", { split: "train" })).rejects.toThrow("has no splits; they would be a word after");
    await expect(open("a.png 1 val\nb.png 2\n")).rejects.toThrow("line 2 has no split, unlike line 1; give a split to");
  });

  it("says what is wrong", async () => {
    await expect(open("a.png 1\n\nb.png\n")).rejects.toThrow(
      /list\.txt, line 3 has no label, unlike line 1; give a label to all images or to none$/,
    );
    await expect(open("a.png\nb.png 4\n")).rejects.toThrow("list.txt, line 2 has the label 4, unlike line 1");
    await expect(open("\n")).rejects.toThrow("lists no image");
    await expect((await open("none.png")).load(0)).rejects.toThrow(/^cannot read image none\.png: .+$/);
  });
});
