/** The contract of a kind of source, for every kind there is. */
import { readdirSync } from "node:fs";
import { extname, join } from "node:path";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { clues } from "../../../src/data/sources/kind.ts";
import { kinds } from "../../../src/data/sources/kinds.ts";
import { kindOf, openSource, type SourceInput, sourceSpec } from "../../../src/data/sources/open.ts";
import { candidates } from "../../../src/data/sources/recognise.ts";
import { automatic } from "../../../src/methods/automatic.ts";
import { defineRecipe } from "../../../src/recipe/recipe.ts";
import { temporaryFolder } from "../../run/temporary.ts";
import { type Files, parquetOf, tarOf, writeFolder, zipOf } from "./shards.ts";

const nameOf = (kind: (typeof kinds)[number]) => kind.schema.shape.kind.value;

describe("the list of kinds", () => {
  it("has each once, and each has its file or folder", () => {
    const names = kinds.map(nameOf);
    expect(new Set(names).size).toBe(names.length);
    const files = readdirSync("src/data/sources").map((name) => name.replace(/\.ts$/, ""));
    expect(files).toEqual(expect.arrayContaining(names));
    expect(sourceSpec.options).toEqual(kinds.map(({ schema }) => schema));
  });

  it("finds the kind of a description", () => {
    expect(kindOf({ kind: "tar" })).toBe(kinds[3]);
    const wrong = JSON.parse('{ "kind": "rar" }') as SourceInput;
    expect(() => kindOf(wrong)).toThrow(
      "there is no kind of source rar; available: folder, list, glob, tar, zip, parquet, cifar, emoji, synthetic",
    );
    expect(() => automatic({ data: wrong, images: 10, shortSide: 32 })).toThrow("there is no kind of source rar");
  });
});

describe.each(kinds.map((kind) => [nameOf(kind), kind] as const))("%s", (name, kind) => {
  const path = "path" in kind.schema.shape ? { path: "images" } : {};
  const spec = sourceSpec.parse({ kind: name, ...path });
  const { splits, reduced, imageSize } = kindOf(spec);
  const has = (option: string) => option in kind.schema.shape;

  it("says what its options mean", () => {
    expect([splits !== undefined, reduced !== undefined]).toEqual([has("split"), has("shortSide")]);
    if (has("split")) {
      const whole = splits!.all(sourceSpec.parse({ ...spec, split: "test" }));
      expect(whole).toEqual(splits!.all(spec));
      expect(sourceSpec.parse(whole)).toEqual(whole);
    }
    if (splits?.training !== undefined) expect(splits.training(spec)).toEqual({ ...spec, split: "train" });
  });

  it("reduces images, or knows their size", () => {
    expect([reduced, imageSize].filter(Boolean)).toHaveLength(1);
    if (reduced === undefined) return expect(imageSize!(spec)).toBeGreaterThan(0);
    expect(reduced(spec, 64)).toEqual({ ...spec, shortSide: 64 });
    expect(reduced({ ...spec, shortSide: 32 } as SourceInput, 64)).toEqual({ ...spec, shortSide: 32 });
  });
});

describe("what is given for images", () => {
  const given = (text: string, names: readonly string[] = [], isPattern = false) => {
    const endings = names.map((name) => extname(name));
    const files = names.includes("data_batch_1.bin") ? [`/home/${text}/in/data_batch_1.bin`] : [];
    return {
      text,
      path: `/home/${text}`,
      isPattern,
      images: endings.filter((ending) => ending === ".jpg").length,
      passed: new Map(endings.map((ending) => [ending, 1])),
      archives: new Map([[".bin", files]]),
    };
  };
  const meant = (...words: Parameters<typeof given>) => candidates(given(...words))[0]!.spec;

  // Precedence, from top to bottom: each is given with all that comes later.
  const inside = ["data_batch_1.bin", "b.tar", "c.zip", "d.parquet", "e.txt"];
  const images = ["f.jpg", ...inside];
  it.each([
    ["emoji", images, true, "emoji"],
    ["x.tar", images, true, "tar"],
    ["x.ZIP", images, true, "zip"],
    ["x.parquet", images, true, "parquet"],
    ["x.tar.gz", images, true, "glob"],
    ["x.tgz", images, true, "glob"],
    ["x.jpg", images, true, "glob"],
    ["x.TAR.GZ", images, false, "cifar"],
    ["x.tgz", images, false, "cifar"],
    ["x.txt", images, false, "list"],
    ["x", images, false, "folder"],
    ["x", inside, false, "cifar"],
    ["x", inside.slice(1), false, "tar"],
    ["x", inside.slice(1), true, "tar"],
    ["x", inside.slice(2), false, "zip"],
    ["x", inside.slice(3), false, "parquet"],
    ["x", inside.slice(4), false, "folder"],
    ["x", inside.slice(4), true, "glob"],
    ["x", ["pytorch_model.bin"], false, "folder"],
    ["x", [], false, "folder"],
    ["x.jpg", [], false, "folder"],
  ] as const)("%s with %j, pattern %s: %s", (text, names, isPattern, kind) => {
    const path = kind === "cifar" && names === inside ? `/home/${text}/in` : `/home/${text}`;
    const expected = kind === "emoji" ? { kind, split: "train" } : { kind, path };
    expect(meant(text, names, isPattern)).toEqual(expected);
    expect(meant(text, names.toReversed(), isPattern)).toEqual(expected);
  });

  it("goes by every clue", () => {
    const found = ["emoji", "x.tar", "x.txt", "x"].flatMap((text) =>
      [images, inside, []].flatMap((names) =>
        [true, false].flatMap((isPattern) => candidates(given(text, names, isPattern))),
      ),
    );
    expect(new Set(found.map(({ clue }) => clue))).toEqual(new Set(clues));
  });
});

/** Photos in files of every kind that reads image files. */
const jpeg = await sharp({ create: { width: 400, height: 300, channels: 3, background: "#864" } })
  .jpeg()
  .toBuffer();
const photos: Files = { "cat/0.jpg": jpeg, "dog/1.jpg": jpeg };
const rows = Object.entries(photos).map(([path, bytes]) => ({ path, bytes: Buffer.from(bytes) }));
const packed: Readonly<Record<string, readonly [files: Files, path: string]>> = {
  folder: [photos, "."],
  list: [{ ...photos, "list.txt": "cat/0.jpg\ndog/1.jpg" }, "list.txt"],
  glob: [photos, "*/*.jpg"],
  tar: [{ "a.tar": tarOf(photos) }, "a.tar"],
  zip: [{ "a.zip": zipOf(Object.entries(photos)) }, "a.zip"],
  parquet: [{ "a.parquet": parquetOf(rows) }, "a.parquet"],
};

describe("photos are reduced while they are decoded", () => {
  it("by all kinds that read image files", () => {
    expect(kinds.filter((kind) => "shortSide" in kind.schema.shape).map(nameOf)).toEqual(Object.keys(packed));
  });

  it.each(Object.entries(packed))("from a %s", async (kind, [files, path]) => {
    const data = { kind, path: join(writeFolder(temporaryFolder(), files), path) } as SourceInput;
    const options = { images: 1000, shortSide: 300, model: "vit-micro", imageSize: 32 };
    const recipe = defineRecipe(automatic({ data, ...options }));
    expect(recipe.data).toMatchObject({ ...data, shortSide: 64 });
    const sizesOf = async (input: SourceInput) => {
      const source = await openSource(input);
      const all = await Promise.all(Array.from({ length: source.length }, (_, i) => source.load(i)));
      return all.map(({ width, height }) => [width, height]);
    };
    expect(await sizesOf(recipe.data)).toEqual([
      [85, 64],
      [85, 64],
    ]);
    expect(await sizesOf(data)).toEqual([
      [400, 300],
      [400, 300],
    ]);
    const own = { ...data, shortSide: 100 } as SourceInput;
    expect(automatic({ data: own, ...options }).data).toEqual(own);
  });
});
