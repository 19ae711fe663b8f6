import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { expand, isPattern } from "../../../src/data/sources/glob.ts";
import { encodePng } from "../../../src/data/formats/png.ts";
import type { Source } from "../../../src/data/source.ts";
import { openSource } from "../../../src/data/sources/open.ts";
import { temporaryFolder } from "../../run/temporary.ts";

const idsOf = ({ length, id }: Source) => Array.from({ length }, (_, i) => id(i));

async function folderOf(...names: readonly string[]): Promise<string> {
  const dir = temporaryFolder();
  const image = await encodePng({ width: 4, height: 2, data: new Uint8Array(24).fill(90) });
  for (const name of names) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), image);
  }
  return dir;
}

it("a pattern is the images it matches, by path, with classes from the folders below what it names", async () => {
  const dir = await folderOf(
    "in/cat/2.png",
    "in/cat/x/1.png",
    "in/dog/1.png",
    "in/dog/.hidden.png",
    "in/dog/1.txt",
    "1.png",
  );
  const source = await openSource({ kind: "glob", path: join(dir, "in/**/*") });
  expect(idsOf(source)).toEqual(["cat/2.png", "cat/x/1.png", "dog/1.png"]);
  expect([source.classes, source.label(1), source.label(2)]).toEqual([["cat", "dog"], 0, 1]);
  expect((await source.load(1)).data[0]).toBe(90);
  expect(idsOf(await openSource({ kind: "glob", path: join(dir, "in/{dog,bat}/[0-9].png") }))).toEqual(["dog/1.png"]);
});

it("a pattern has the splits that its folders are", async () => {
  const dir = await folderOf("train/a/1.png", "train/b/2.png", "test/a/3.png");
  const path = join(dir, "*/*/*.png");
  expect(idsOf(await openSource({ kind: "glob", path, split: "train" }))).toEqual(["train/a/1.png", "train/b/2.png"]);
  await expect(openSource({ kind: "glob", path: join(dir, "train/*/*.png"), split: "test" })).rejects.toThrow(
    /has no splits; they would be folders named train and test \(or val\) in .*train$/,
  );
});

it("a pattern may count", async () => {
  const dir = await folderOf("s-008.tar", "s-009.tar", "s-010.tar", "s-011.tar");
  const { paths } = await expand(join(dir, "s-{009..010}.tar"));
  expect(paths).toEqual([join(dir, "s-009.tar"), join(dir, "s-010.tar")]);
});

it("what exists is no pattern", async () => {
  const dir = await folderOf("a[1]/x.png");
  expect(isPattern(join(dir, "a[1]"))).toBe(false);
  expect(isPattern(join(dir, "a[2]"))).toBe(true);
  expect(isPattern(join(dir, "none"))).toBe(false);
});

it("begins where what is there by name ends", async () => {
  const files = ["pets/cat/1.png", "pets/dog/2.png"];
  for (const folder of ["Photos [2024]", "Photos (2)", "a{b,c}", "*", "is it?", "[a-z]/{x}"]) {
    const dir = await folderOf(...files.map((name) => `${folder}/${name}`));
    const { classes, length } = await openSource({ kind: "glob", path: join(dir, folder, "pets/*/*.png") });
    expect([classes, length], folder).toEqual([["cat", "dog"], 2]);
    expect(isPattern(join(dir, folder, "pets"))).toBe(false);
    expect(isPattern(join(dir, folder, "none"))).toBe(false);
    expect(isPattern(join(dir, folder, "[p]ets"))).toBe(true);
  }
});

it("leaves out what systems add, and runs, unless it names them", async () => {
  const run = ["run/recipe.json", "run/environment.json", "run/samples/1.png"];
  const dir = await folderOf("in/1.png", "in/@eaDir/1.png", "in/2.heic", ...run.map((name) => `in/${name}`));
  const source = await openSource({ kind: "glob", path: join(dir, "in/**/*") });
  expect(idsOf(source)).toEqual(["1.png"]);
  expect(source.notes).toEqual([
    "images of kinds that are not read: 1 .heic; convert them to JPEG or PNG to use them",
    "left out, as systems add them: 1 × @eaDir",
    "left out, as they are run folders: run",
  ]);
  expect(idsOf(await openSource({ kind: "glob", path: join(dir, "i*/@eaDir/*.png") }))).toEqual(["in/@eaDir/1.png"]);
});

it("says what is wrong", async () => {
  const dir = await folderOf("in/1.txt", "in/2.txt");
  const open = (pattern: string) => openSource({ kind: "glob", path: join(dir, pattern) });
  await expect(open("in/*.png")).rejects.toThrow(/^nothing matches .*in\/\*\.png \(looked in .*in\)$/);
  await expect(open("in/*.TXT")).rejects.toThrow(/\(looked in .*in; in other capitals it would match 2\)$/);
  await expect(open("none/*.png")).rejects.toThrow(/^nothing matches /);
  await expect(open("in/*")).rejects.toThrow(/ matches 2 files, but no image \(files that end in \.jpg, /);
});

it.runIf(process.platform === "linux")("files may have names that are not UTF-8", async () => {
  const dir = await folderOf("in/a.png");
  for (const letter of [0xe9, 0xe8])
    writeFileSync(
      Buffer.concat([Buffer.from(`${dir}/in/`), Buffer.from([letter]), Buffer.from(".png")]),
      await encodePng({ width: 4, height: 2, data: new Uint8Array(24).fill(letter) }),
    );
  const source = await openSource({ kind: "glob", path: join(dir, "in/*.png") });
  expect(idsOf(source).sort()).toEqual(["a.png", "�.png", "�.png"]);
  const first = await Promise.all([0, 1, 2].map(async (i) => (await source.load(i)).data[0]!));
  expect(first.sort((a, b) => a - b)).toEqual([90, 0xe8, 0xe9]);
});
