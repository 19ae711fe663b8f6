import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { inMemory } from "../../../src/data/formats/positioned.ts";
import type { Source } from "../../../src/data/source.ts";
import { openSource } from "../../../src/data/sources/open.ts";
import { content, entries } from "../../../src/data/sources/zip.ts";
import { fuzz, fuzzCount } from "../../fuzz.ts";
import { temporaryFolder } from "../../run/temporary.ts";
import { animals, image, writeFolder, zipOf, type ZipOptions, tarOf } from "./shards.ts";

const factsOf = ({ length, id, label }: Source) => Array.from({ length }, (_, i) => [id(i), label(i)]);

/** Opens an archive of these bytes. */
function open(bytes: Uint8Array, more: object = {}) {
  const path = join(temporaryFolder(), "x.zip");
  writeFileSync(path, bytes);
  return openSource({ kind: "zip", path, ...more });
}

const png = await image(1);
const one = (options: ZipOptions) => zipOf([["1.png", png]], options);

describe("zip archives", () => {
  it.each<[string, ZipOptions]>([
    ["stored", { method: 0 }],
    ["deflated", {}],
    ["zip64", { zip64: true }],
  ])("have folders as classes (%s)", async (_, options) => {
    const source = await open(zipOf(Object.entries(await animals(4)), options));
    expect(source.classes).toEqual(["cat", "dog"]);
    expect(factsOf(source)).toEqual([
      ["cat/0.png", 0],
      ["dog/1.png", 1],
      ["cat/2.png", 0],
      ["dog/3.png", 1],
    ]);
    for (const i of [0, 3]) expect((await source.load(i)).data[0]).toBe(10 * i);
  });

  it("have splits as a folder has them, or in their names", async () => {
    const files = ["train/a/1.png", "train/b/2.png", "test/a/3.png"].map((name) => [name, png] as const);
    const test = await open(zipOf(files), { split: "test" });
    expect([test.length, test.id(0), test.classes]).toEqual([1, "test/a/3.png", ["a", "b"]]);
    const dir = writeFolder(temporaryFolder(), { "train.zip": one({}), "val-1.zip": one({}) });
    const validation = await openSource({ kind: "zip", path: dir, split: "validation" });
    expect([validation.length, validation.id(0)]).toEqual([1, "val-1.zip/1.png"]);
    await expect(open(one({}), { split: "test" })).rejects.toThrow("has no splits");
  });

  it("have folders whose names are divided by backslashes, or have more in front", async () => {
    const path = join(temporaryFolder(), "a.zip");
    const bytes = await image(0);
    for (const [before, slash] of [
      ["", "\\"],
      ["./", "/"],
      ["C:\\photos\\", "\\"],
      ["/home/../me//", "/"],
    ] as const) {
      const names = ["train/cat/0.png", "train/dog/1.png", "test/cat/2.png", "__MACOSX/3.png"];
      writeFileSync(path, zipOf(names.map((name) => [before + name.replaceAll("/", slash), bytes] as const)));
      const { classes, length, label, split, notes } = await openSource({ kind: "zip", path });
      expect([classes, length, label(1), split?.(2)]).toEqual([["cat", "dog"], 3, 1, "test"]);
      expect(notes).toEqual(["left out, as systems add them: 1 × __MACOSX"]);
    }
  });

  it("leave out what systems add, and read names in other alphabets", async () => {
    const names = ["__MACOSX/._1.png", ".hidden/1.png", "a/.1.png", "a/", "notes.txt", "é.png", "日本.png"];
    const files: [string | Buffer, Uint8Array][] = names.map((name) => [name, png]);
    const source = await open(zipOf([...files, [Buffer.from("\x82.png", "latin1"), png]]));
    expect(factsOf(source).map(([id]) => id)).toEqual(["é.png", "日本.png", "é.png"]); // the last in DOS's code page
    expect((await source.load(2)).data[0]).toBe(10);
  });

  it.skipIf(!existsSync("/usr/bin/zip"))("are read as zip writes them", async () => {
    const dir = writeFolder(temporaryFolder(), await animals(20));
    execFileSync("zip", ["-qr", "x.zip", "cat", "dog"], { cwd: dir });
    const source = await openSource({ kind: "zip", path: join(dir, "x.zip") });
    expect([source.length, source.classes]).toEqual([20, ["cat", "dog"]]);
    for (let i = 0; i < 20; i++)
      expect((await source.load(i)).data[0]).toBe(10 * Number.parseInt(source.id(i).slice(4)));
  });

  it.each<[string, ZipOptions, RegExp]>([
    ["with a password", { flags: 1 }, /^cannot read image 1\.png: it is encrypted; pack it without a password$/],
    ["packed in another way", { method: 14 }, /compressed in a way that is not read \(14\); pack it with deflate$/],
    ["that become too large", { size: 2 ** 29 }, /it has 536870912 bytes, more than the 268435456 that are read$/],
    ["that cannot become so large", { size: 2 ** 20 }, /it says it becomes 1048576 bytes from \d+$/],
    ["that become larger than they say", { size: 10 }, /^cannot read image 1\.png: .*larger than 10 bytes$/],
    ["that become smaller", { size: 200 }, /^cannot read image 1\.png: it has \d+ bytes, not 200$/],
  ])("have images that cannot be read: %s", async (_, options, message) => {
    await expect((await open(one(options))).load(0)).rejects.toThrow(message);
  });

  it.each<[string, () => Uint8Array, RegExp]>([
    [
      "that are tar archives",
      () => tarOf({ "1.txt": "x" }),
      /^x\.zip is a tar archive, whatever it is called: let its name end in \.tar$/,
    ],
    ["empty", () => zipOf([]), /^no image in .*: it is empty \(images are files that end in \.jpg, /],
    ["of another kind", () => Buffer.from("text"), /^x\.zip is damaged or no zip archive: End of central directory/],
    ["cut off", () => one({}).subarray(0, -30), /^x\.zip is damaged or no zip archive: /],
    ["that lack their beginning", () => one({}).subarray(40), /^x\.zip is damaged or no zip archive: /],
  ])("are refused: %s", async (_, make, message) => {
    await expect(open(make())).rejects.toThrow(message);
  });

  it("are values or one sentence when damaged", async () => {
    const files = [
      ["a/1.png", png],
      ["b.png", "x".repeat(3000)],
      ["c.png", await image(2)],
    ] as const;
    const { values, errors } = await fuzz({
      name: "zip",
      originals: [zipOf(files), zipOf(files, { zip64: true }), zipOf(files, { method: 0 })],
      count: fuzzCount(3000),
      focus: (bytes) => [Math.max(bytes.indexOf("PK\x01\x02"), 0), bytes.length],
      async read(bytes) {
        const file = inMemory("x.zip", bytes);
        for await (const entry of entries(file)) await content(file.read, entry);
      },
    });
    expect(values).toBeGreaterThan(0);
    expect(errors.length).toBeGreaterThan(5);
  });
});
