import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { encodePng } from "../../../src/data/formats/png.ts";
import type { Split } from "../../../src/data/source.ts";
import { openSource } from "../../../src/data/sources/open.ts";
import { temporaryFolder } from "../../run/temporary.ts";

/** A folder `pictures` with three one-colour images, and beside it a list of this text. */
async function listOf(text: string | Uint8Array): Promise<string> {
  const dir = temporaryFolder();
  mkdirSync(join(dir, "pictures"));
  for (const [i, name] of ["a.png", "b.png", "c d.png"].entries()) {
    const data = new Uint8Array(3 * 8 * 4).fill(50 * i);
    writeFileSync(join(dir, "pictures", name), await encodePng({ width: 8, height: 4, data }));
  }
  writeFileSync(join(dir, "list.txt"), text);
  return dir;
}

const open = async (text: string | Uint8Array, changes: { root?: string; shortSide?: number; split?: Split } = {}) => {
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
    await expect(open(text, { root: "pictures", split: "validation" })).rejects.toThrow(
      /list\.txt has no validation split$/,
    );
    await expect(open("a.png bat\n", { root: "pictures", split: "train" })).rejects.toThrow(
      "has no splits; they would be a word after",
    );
    await expect(open("a.png 1 val\nb.png 2\n")).rejects.toThrow("line 2 has no split, unlike line 1; give a split to");
  });

  it("says what is wrong", async () => {
    await expect(open("a.png 1\n\nb.png\n")).rejects.toThrow(
      /list\.txt, line 3 has no label, unlike line 1; give a label to all images or to none$/,
    );
    await expect(open("a.png\nb.png 4\n")).rejects.toThrow("list.txt, line 2 has the label 4, unlike line 1");
    await expect(open("\n")).rejects.toThrow("lists no image");
    const source = await open("pictures/a.png\nnone.png\n");
    await expect(source.load(1)).rejects.toThrow(/^cannot read image none\.png: .+$/);
  });

  it("says which labels it does not use", async () => {
    const several = await open("pictures/a.png 0 1 1\npictures/b.png 1 0 0\n");
    expect(several.classes).toEqual([]);
    expect(several.notes).toEqual([
      "labels are not used, as there are several numbers for an image (0 1 1): a class is one word or number",
    ]);
    const gaps = await open("path,label\npictures/a.png,cat\npictures/b.png,\npictures/c d.png,dog\n");
    expect(facts(gaps).map(([, label]) => label)).toEqual([0, -1, 1]);
    expect(gaps.notes).toEqual(["1 of 3 images have no label"]);
  });

  it("has splits, not classes, where nothing but splits stands behind the paths", async () => {
    const source = await open("pictures/a.png train\npictures/b.png test\npictures/c d.png train\n");
    expect(source.classes).toEqual([]);
    expect([0, 1, 2].map((i) => source.split!(i))).toEqual(["train", "test", "train"]);
  });

  it("finds files as other systems spell their names", async () => {
    const dir = await listOf("");
    const picture = readFileSync(join(dir, "pictures", "b.png"));
    const latin1 = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from("\xe9t\xe9.png", "latin1")]);
    writeFileSync(latin1, picture);
    writeFileSync(join(dir, "e\u0301.png"), picture);
    writeFileSync(join(dir, "øl.png"), picture);
    const text = "pictures\\b.png\n\xe9t\xe9.png\n\xe9.png\n\xf8l.png\n";
    writeFileSync(join(dir, "list.txt"), Buffer.from(text, "latin1"));
    const source = await openSource({ kind: "list", path: join(dir, "list.txt") });
    for (let i = 0; i < 4; i++) expect((await source.load(i)).data[0]).toBe(50);
  });

  it("whose images are not there is refused at once, with what to do", async () => {
    const missing = (text: string) =>
      open(text).then(
        () => "",
        ({ message }: Error) => message.replaceAll(/\S*\/(layergraft|vitest)[^/\s;)]*/g, "DIR"),
      );
    expect(await missing("far/a.png 1\nfar/b.png 2\n")).toMatch(
      /list\.txt names images that are not there: far\/a\.png \(line 1; looked for .*\/far\/a\.png\); say with --root which folder paths start from$/,
    );
    expect(await missing("path,label\na.png,1\n")).toMatch(
      /a\.png \(line 2; looked for .*\); they are there below .*pictures: add --root .*pictures$/,
    );
    expect(await missing("pet_1 1 1\npet_2 1 2\n")).toMatch(/a name needs its ending, such as \.jpg$/);
    expect(await missing("https://example.org/1.jpg cat\nhttps://example.org/2.jpg dog\n")).toMatch(
      /names addresses in place of images \(line 1: https:\/\/example\.org\/1\.jpg\); download the images and give their folder$/,
    );
  });
});
