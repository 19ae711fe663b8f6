import { mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openSource } from "../../../src/data/sources/open.ts";
import { recognise } from "../../../src/data/sources/recognise.ts";
import { temporaryFolder } from "../../run/temporary.ts";
import { cifar10, writeFolder as writeCifar } from "./cifar.ts";
import { animals, type Files, parquetFile, parquetOf, tarOf, writeFolder, zipOf } from "./shards.ts";

const images = await animals(4);
const many = await animals(24);
const zip = zipOf(Object.entries(images));
const parquet = parquetOf(Object.entries(many).map(([path, bytes]) => ({ path, bytes })));
const features = parquetFile([{ name: "feature", data: [1, 2] }]);

/** Kind, number of images and notes of a folder with these files. */
async function read(files: Files, path = ".") {
  const spec = await recognise(join(writeFolder(temporaryFolder(), files), path));
  const { length, notes } = await openSource(spec);
  return [spec.kind, length, notes];
}
const archives = (counts: string) =>
  `archives that are not read: ${counts}; give them by themselves to use what is in them`;

it("archives are found below the top, in any case of their endings", async () => {
  expect(await read({ "README.md": "x", "data/train.parquet": parquet })).toEqual(["parquet", 24, ["not read: 1 .md"]]);
  expect(await read({ "a/b/A.ZIP": zip })).toEqual(["zip", 4, []]);
  expect(await read({ "A.TAR": tarOf(images) }, "A.TAR")).toEqual(["tar", 4, []]);
  expect(await read({ "s/a.Tar": tarOf(images), "s/b.tar": tarOf(images) }, "s/*")).toEqual(["tar", 8, []]);
});

it("images win over archives beside them", async () => {
  expect(await read({ ...images, "a.zip": zip })).toEqual(["folder", 4, [archives("1 .zip")]]);
  expect(await read({ ...images, "f.parquet": features })).toEqual(["folder", 4, [archives("1 .parquet")]]);
  expect(await read({ ...images, "m.bin": "x" })).toEqual(["folder", 4, ["not read: 1 .bin"]]);
  expect(await read({ ...images, "a.zip": zip }, "*/*")).toEqual(["glob", 4, []]);
});

it("a logo beside archives with many images is none of them", async () => {
  const logo = Object.values(images)[0]!;
  expect(await read({ "logo.png": logo, "a.parquet": parquet })).toEqual([
    "parquet",
    24,
    ["1 image beside the .parquet files is not read"],
  ]);
});

it("of archives of several kinds those with the most images are read", async () => {
  const files = { "notes.tar": tarOf({ "a.txt": "x" }), "bad.zip": "x", "a.zip": zip, "b.parquet": parquet };
  expect(await read(files)).toEqual(["parquet", 24, [archives("2 .zip, 1 .tar")]]);
});

it("CIFAR's files are found below the top", async () => {
  const folder = temporaryFolder();
  const inner = writeCifar(join(folder, "cifar-10-batches-bin"), cifar10());
  expect(await recognise(folder)).toEqual({ kind: "cifar", path: inner });
});

it("a path is found whatever the form of its Unicode", async () => {
  const [composed, decomposed] = ["caf\u00e9", "cafe\u0301"];
  for (const [there, asked] of [
    [composed, decomposed],
    [decomposed, composed],
  ] as const) {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "x"));
    renameSync(writeFolder(join(folder, "new"), images), join(folder, "x", there));
    expect(await recognise(join(folder, "x", asked, "cat"))).toEqual({
      kind: "folder",
      path: join(folder, "x", there, "cat"),
    });
    expect(await recognise(join(folder, "x", asked, "*/*.png"))).toEqual({
      kind: "glob",
      path: join(folder, "x", there, "*/*.png"),
    });
  }
});

it("nothing is no place", async () => {
  await expect(recognise("")).rejects.toThrow("no images are named");
});
