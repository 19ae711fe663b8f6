import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { sourceAt as sourceSaid } from "../../src/cli/data.ts";
import { checkImageOptions, imageSettings, type ImageOptions } from "../../src/cli/image-options.ts";
import { cifar10, writeFolder } from "../data/sources/cifar.ts";
import { animals, tarOf, zipOf } from "../data/sources/shards.ts";
import { temporaryFolder } from "../run/temporary.ts";
import { writeImages } from "./layergraft.ts";

const sourceAt = (images: string, options?: ImageOptions) => sourceSaid(images, { say: () => undefined }, options);

it("what is typed for images is emoji, CIFAR, a list, a folder, a pattern or an archive", async () => {
  const dir = temporaryFolder();
  expect(await sourceAt("emoji")).toEqual({ kind: "emoji", split: "train" });
  const list = join(dir, "few.txt");
  await writeImages(dir, 2, "flat");
  writeFileSync(list, "0.png cat\n1.png dog");
  expect(await sourceAt(list)).toEqual({ kind: "list", path: list });
  writeFileSync(list, "0.png cat train\n1.png dog test");
  expect(await sourceAt(list)).toEqual({ kind: "list", path: list, split: "train" });
  const bin = writeFolder(join(dir, "bin"), cifar10());
  expect(await sourceAt(bin)).toEqual({ kind: "cifar", path: bin });
  const flat = await writeImages(join(dir, "flat"), 2, "flat");
  expect(await sourceAt(flat)).toEqual({ kind: "folder", path: flat });
  const parts = join(dir, "parts");
  for (const split of ["train", "val"]) await writeImages(join(parts, split), 4, "classes");
  expect(await sourceAt(parts)).toEqual({ kind: "folder", path: parts, split: "train" });
  expect(await sourceAt(join(dir, "fl*", "*.png"))).toEqual({ kind: "glob", path: join(dir, "fl*", "*.png") });
  await expect(sourceAt(join(dir, "none-*.png"))).rejects.toThrow(/^nothing matches .*none-\*\.png \(looked in /);
  const shards = writeFolder(join(dir, "shards"), {
    "train-0.tar": tarOf(await animals(2)),
    "test-0.tar": tarOf(await animals(2)),
  });
  expect(await sourceAt(shards)).toEqual({ kind: "tar", path: shards, split: "train" });
  for (const path of [join(shards, "train-0.tar"), join(shards, "{train,val}-*.tar")])
    expect(await sourceAt(path)).toEqual({ kind: "tar", path });
  const packed = writeFolder(dir, { "x.zip": zipOf([]), "x.parquet": new Uint8Array(0) });
  await expect(sourceAt(join(packed, "x.zip"))).rejects.toThrow(/^no image in .*x\.zip/);
  await expect(sourceAt(join(packed, "x.parquet"))).rejects.toThrow(/^x\.parquet is no Parquet file/);
  const odd = await writeImages(join(dir, "photos [2020]"), 2, "flat");
  expect(await sourceAt(odd)).toEqual({ kind: "folder", path: odd });
  await expect(sourceAt(join(dir, "none"))).rejects.toThrow(/^there is no folder .*none/);
});

it("options say which columns have images and labels, and where paths start", async () => {
  const dir = await writeImages(join(temporaryFolder(), "far"), 2, "flat");
  const table = join(dir, "..", "x.csv");
  writeFileSync(table, "image,thumb,breed,age\n0.png,a.png,pug,1\n1.png,b.png,dax,2\n");
  const options = { imageColumn: "image", labelColumn: "breed", root: dir };
  const spec = { kind: "list", path: table, image: "image", label: "breed", root: dir };
  const said: string[] = [];
  expect(await sourceSaid(table, { say: (line) => said.push(line) }, options)).toEqual(spec);
  expect(said[0]).toMatch(/^2 images in .*x\.csv, 2 classes: dax, pug$/);
  await expect(sourceAt(table, { labelColumn: "breed" })).rejects.toThrow(/add --root .*far$/);
  for (const [name, value] of Object.entries(options))
    await expect(sourceAt(dir, { [name]: value })).rejects.toThrow(
      /^--[a-z-]+ is for .*, and .*far is none; leave it out$/,
    );
  expect(imageSettings([{ path: ["data", "root"], value: dir }])).toEqual({ root: dir });
  expect(() => checkImageOptions({ root: dir }, "--data")).toThrow(
    "--root goes with --data, the images; give that, too",
  );
});
