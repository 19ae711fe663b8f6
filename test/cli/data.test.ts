import { join } from "node:path";
import { expect, it } from "vitest";
import { sourceAt } from "../../src/cli/data.ts";
import { cifar10, writeFolder } from "../data/cifar.ts";
import { temporaryFolder } from "../run/temporary.ts";
import { writeImages } from "./layergraft.ts";

it("what is typed for images is emoji, CIFAR, a list or a folder", async () => {
  const dir = temporaryFolder();
  expect(await sourceAt("emoji")).toEqual({ kind: "emoji", split: "train" });
  for (const name of ["cifar-10-binary.tar.gz", "cifar.tgz"])
    expect(await sourceAt(join(dir, name))).toEqual({ kind: "cifar", path: join(dir, name) });
  expect(await sourceAt(join(dir, "few.txt"))).toEqual({ kind: "list", path: join(dir, "few.txt") });
  const bin = writeFolder(join(dir, "bin"), cifar10());
  expect(await sourceAt(bin)).toEqual({ kind: "cifar", path: bin });
  const flat = await writeImages(join(dir, "flat"), 2, "flat");
  expect(await sourceAt(flat)).toEqual({ kind: "folder", path: flat });
  const parts = join(dir, "parts");
  for (const split of ["train", "val"]) await writeImages(join(parts, split), 4, "classes");
  expect(await sourceAt(parts)).toEqual({ kind: "folder", path: parts, split: "train" });
  await expect(sourceAt(join(dir, "none"))).rejects.toThrow(/^there is no folder .*none/);
});
