import { chmod, copyFile, mkdtemp, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Pixels, Source } from "../../../src/data/source.ts";
import { openSource } from "../../../src/data/sources/open.ts";

let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "layergraft-folder-"));
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

const open = (changes = {}) => openSource({ kind: "folder", path: root, ...changes });
const flat = (background: string, width = 6, height = 4) =>
  sharp({ create: { width, height, channels: 3, background } });

/** Writes a plain image file below the folder. */
async function put(path: string, image = flat("#ff0000")): Promise<void> {
  await mkdir(join(root, path, ".."), { recursive: true });
  await image.toFile(join(root, path));
}

function pixel({ data, width }: Pixels, x: number, y: number): number[] {
  return [...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
}

const idsOf = ({ length, id }: Source) => Array.from({ length }, (_, i) => id(i));

async function load(name: string, changes = {}): Promise<Pixels> {
  const source = await open(changes);
  const i = Array.from({ length: source.length }, (_, n) => source.id(n)).indexOf(name);
  return source.load(i);
}

describe("folder", () => {
  it("lists a flat folder in order, without classes, and ignores other files", async () => {
    for (const name of ["b.png", "a.JPG", "c10.webp", "c9.png"]) await put(name);
    await writeFile(join(root, "notes.txt"), "x");
    await writeFile(join(root, "._a.jpg"), "x");
    const source = await open();
    expect(Array.from({ length: source.length }, (_, i) => source.id(i))).toEqual([
      "a.JPG",
      "b.png",
      "c10.webp",
      "c9.png",
    ]);
    expect(source.classes).toEqual([]);
    expect(source.label(0)).toBe(-1);
  });

  it("takes subfolders for classes when every image lies in one of several", async () => {
    for (const name of ["dog/x/1.png", "cat/2.png", "cat/1.png"]) await put(name);
    const source = await open();
    expect(source.classes).toEqual(["cat", "dog"]);
    expect([0, 1, 2].map((i) => [source.id(i), source.label(i)])).toEqual([
      ["cat/1.png", 0],
      ["cat/2.png", 0],
      ["dog/x/1.png", 1],
    ]);
    await put("stray.png");
    expect((await open()).classes).toEqual([]);
  });

  it("sees no class in a single subfolder", async () => {
    await put("images/1.png");
    expect((await open()).classes).toEqual([]);
    await expect(open({ split: "test" })).rejects.toThrow("has no splits");
  });

  it("takes train and test for splits, and the folders in them for classes", async () => {
    for (const name of ["train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "test/4.png"]) await put(name);
    const all = await open();
    expect(all.classes).toEqual(["cat", "dog"]);
    expect([0, 1, 2, 3].map((i) => [all.id(i), all.label(i), all.split!(i)])).toEqual([
      ["test/4.png", -1, "test"], // as in ImageNet
      ["train/cat/1.png", 0, "train"],
      ["train/dog/2.png", 1, "train"],
      ["val/cat/3.png", 0, "validation"],
    ]);
    const validation = await open({ split: "validation" });
    expect([validation.length, validation.id(0), validation.label(0)]).toEqual([1, "val/cat/3.png", 0]);
    expect(validation.classes).toEqual(all.classes);
  });

  it("leaves out what systems add, and runs, and counts what it passes over", async () => {
    for (const name of ["cat/1.png", "dog/2.png", "cat/@eaDir/1.png", "dog/@eaDir/x/2.png", "#recycle/3.png"])
      await put(name);
    for (const name of ["$RECYCLE.BIN/4.png", "System Volume Information/5.png", "__MACOSX/6.png", "run/7.png"])
      await put(name);
    for (const name of ["recipe.json", "environment.json"]) await writeFile(join(root, "run", name), "{}");
    const others = ["a.HEIC", "b.cr2", "x.JSON", "y.json", "z.zip", "z.tar.gz", "README", "._1.png", ".2.png"];
    for (const name of others) await writeFile(join(root, name), "x");
    await symlink(join(root, "gone.png"), join(root, "dog", "gone.png"));
    const { classes, length, notes } = await open();
    expect([classes, length]).toEqual([["cat", "dog"], 2]);
    expect(notes).toEqual([
      "images of kinds that are not read: 1 .cr2, 1 .heic; convert them to JPEG or PNG to use them",
      "archives that are not read: 1 .zip; give them by themselves to use what is in them",
      "compressed files, not read: 1 .tar.gz; unpack them to use what is in them",
      "not read: 2 .json, 1 without an ending",
      "left out: 1 image whose name begins with a dot",
      "left out, as systems add them: 1 × #recycle, 1 × $RECYCLE.BIN, 2 × @eaDir, 1 × System Volume Information, " +
        "1 × __MACOSX",
      "left out, as they are run folders: run",
      "left out, as they cannot be read: dog/gone.png (it leads nowhere)",
    ]);
  });

  it("is no run folder, or one that has only hidden names", async () => {
    await writeFile(join(root, ".1.txt"), "x");
    await expect(open()).rejects.toThrow("it has only names that begin with a dot");
    await put("samples/1.png");
    for (const name of ["recipe.json", "environment.json"]) await writeFile(join(root, name), "{}");
    await expect(open()).rejects.toThrow("it is a run folder, whose pictures are no images to train on");
  });

  it.runIf(process.getuid?.() !== 0)("leaves out folders that may not be read, and names them", async () => {
    for (const name of ["cat/1.png", "dog/2.png", "secret/3.png"]) await put(name);
    await chmod(join(root, "secret"), 0);
    const { classes, notes } = await open();
    await chmod(join(root, "secret"), 0o700);
    expect([classes, notes]).toEqual([
      ["cat", "dog"],
      ["left out, as they cannot be read: secret (permission denied)"],
    ]);
  });

  it("follows links, and stops where they go round", async () => {
    await put("a/1.png");
    await symlink(root, join(root, "a", "again"), "dir");
    await symlink(join(root, "a", "1.png"), join(root, "a", "2.png"));
    expect((await open()).length).toBe(2);
  });

  it("finds an image once for each way that leads to it without going round", async () => {
    await put("a/1.png");
    await put("b/2.png");
    await symlink(join(root, "b"), join(root, "a", "b"), "dir");
    await symlink(join(root, "a"), join(root, "b", "a"), "dir");
    await symlink(join(root, "gone.png"), join(root, "a", "gone.png"));
    const source = await open();
    expect(idsOf(source)).toEqual(["a/1.png", "a/b/2.png", "b/2.png", "b/a/1.png"]);
  });

  it("ends where folders link to one another in ever more ways", async () => {
    const names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for (const name of names) await mkdir(join(root, name));
    for (const name of names)
      for (const other of names) await symlink(join(root, other), join(root, name, `to-${other}`), "dir");
    await put("a/1.png");
    expect((await open()).length).toBe(1 + 7 + 7 * 6 + 7 * 6 * 5 + 7 * 6 * 5 * 4); // of 13,700 ways
  });

  it("orders paths as text, folders and files alike", async () => {
    const names = [
      "a/z.png",
      "a-b/1.png",
      "a.png",
      "a!.png",
      "a0/1.png",
      "\uFF5E.png",
      "😀/1.png",
      "é/1.png",
      "Z/1.png",
    ];
    for (const name of names) await put(name);
    expect(idsOf(await open())).toEqual([...names].sort());
  });

  it.runIf(process.platform === "linux")("reads images whose names are not UTF-8", async () => {
    await put("plain.png", flat("#00ff00"));
    const name = Buffer.from([0xe9, 0x74, 0xe9, 0x2e, 0x70, 0x6e, 0x67]); // été.png in Latin-1
    const dir = Buffer.concat([Buffer.from(root), Buffer.from([0x2f, 0xff])]);
    await mkdir(dir);
    await copyFile(join(root, "plain.png"), Buffer.concat([dir, Buffer.from("/"), name]));
    const source = await open();
    expect(idsOf(source)).toEqual(["plain.png", "\uFFFD/\uFFFDt\uFFFD.png"]);
    expect(pixel(await source.load(1), 0, 0)).toEqual([0, 255, 0]);
    await rm(dir, { recursive: true });
    await expect(source.load(1)).rejects.toThrow(/^cannot read image \uFFFD\/.*: ENOENT/);
  });

  it("says what is wrong with a folder", async () => {
    await expect(openSource({ kind: "folder", path: join(root, "none") })).rejects.toThrow(
      /^there is no folder .*none/,
    );
    await expect(open()).rejects.toThrow(/^no image in .*: it is empty \(images are files that end in \.jpg, /);
    await writeFile(join(root, "notes.txt"), "x");
    await writeFile(join(root, "clip.mp4"), "x");
    await expect(open()).rejects.toThrow("not read: 1 .mp4, 1 .txt (images are files that end in .jpg, ");
    for (const [name, why] of [
      ["notes.txt", "is a file"],
      ["photos.tar.zst", "is compressed (.tar.zst), so that no image in it can be read by itself: unpack it first"],
      ["a.RAR", "is compressed (.rar)"],
      ["a.jpg", "is one image; give the folder that holds the images"],
      ["a.heic", "is an image of a kind that is not read (.heic)"],
      ["a.arrow", "is a file that ends in .arrow, which is not read"],
    ] as const) {
      await writeFile(join(root, name), "x");
      await expect(openSource({ kind: "folder", path: join(root, name) })).rejects.toThrow(why);
    }
    await expect(openSource({ kind: "folder", path: "" })).rejects.toThrow("this is not a data source");
  });
});

it("reads the images that are asked for, reduced where that is asked for too", async () => {
  await put("large.jpg", flat("#336699", 300, 200));
  const large = await load("large.jpg", { shortSide: 50 });
  expect([large.width, large.height]).toEqual([75, 50]);
  await writeFile(join(root, "bad.jpg"), "not a picture");
  await expect(load("bad.jpg")).rejects.toThrow(/^cannot read image bad\.jpg: it does not begin like a JPEG, .+$/);
});
