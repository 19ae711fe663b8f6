import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { sourceAt as sourceSaid } from "../../src/cli/data.ts";
import { cifar10, writeFolder } from "../data/sources/cifar.ts";
import { animals, tarOf, zipOf } from "../data/sources/shards.ts";
import { temporaryFolder } from "../run/temporary.ts";
import { writeImages } from "./layergraft.ts";

const sourceAt = (images: string) => sourceSaid(images, { say: () => undefined });

it("what is typed for images is emoji, CIFAR, a list, a folder, a pattern or an archive", async () => {
  const dir = temporaryFolder();
  expect(await sourceAt("emoji")).toEqual({ kind: "emoji", split: "train" });
  const list = join(dir, "few.txt");
  writeFileSync(list, "a.png cat\nb.png dog");
  expect(await sourceAt(list)).toEqual({ kind: "list", path: list });
  writeFileSync(list, "a.png cat train\nb.png dog test");
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
