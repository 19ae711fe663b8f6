import { execFileSync } from "node:child_process";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openLoader } from "../../../src/data/batches/loader.ts";
import type { Source } from "../../../src/data/source.ts";
import { openSource } from "../../../src/data/sources/open.ts";
import { centerCrop } from "../../../src/data/augmentation/views.ts";
import { tasksOf } from "../../../src/measure/tasks.ts";
import { temporaryFolder } from "../../run/temporary.ts";
import { cifar10, cifar100, value, writeArchive, writeFolder } from "./cifar.ts";

const open = (path: string, more: object = {}) => openSource({ kind: "cifar", path, ...more });
const list = ({ length, id, label }: Source) => Array.from({ length }, (_, i) => [id(i), label(i)]);

/** Image `n` as pixels: interleaved. */
const image = (n: number) => Uint8Array.from({ length: 3072 }, (_, at) => value(n, at % 3, Math.floor(at / 3)));

describe("CIFAR-10", () => {
  it("is read from its archive, nested or flat, and from a folder", async () => {
    const dir = temporaryFolder();
    for (const path of [
      writeArchive(join(dir, "nested.tar.gz"), cifar10()),
      writeArchive(join(dir, "flat.tar.gz"), cifar10(), "./"),
      writeFolder(join(dir, "bin"), { ...cifar10(), "readme.html": new Uint8Array(3) }),
    ]) {
      const train = await open(path);
      expect(train.classes).toEqual(["cat", "dog"]);
      expect(train.length).toBe(20);
      expect(list(train).slice(0, 2)).toEqual([
        ["train/cat/0", 0],
        ["train/dog/1", 1],
      ]);
      for (const i of [0, 7, 19]) expect(await train.load(i)).toEqual({ width: 32, height: 32, data: image(i) });
      const test = await open(path, { split: "test" });
      expect([test.length, test.id(3), test.split!(3)]).toEqual([4, "test/dog/3", "test"]);
      expect((await test.load(3)).data).toEqual(image(23));
      expect((await open(path, { split: "all" })).length).toBe(24);
    }
  });

  it.skipIf(process.platform === "win32")("is read from what tar writes", async () => {
    const dir = temporaryFolder();
    writeFolder(join(dir, "cifar-10-batches-bin"), cifar10());
    execFileSync("tar", ["-czf", "cifar.tar.gz", "cifar-10-batches-bin"], { cwd: dir });
    expect((await open(join(dir, "cifar.tar.gz"))).length).toBe(20);
  });

  it("is opened again by worker threads", async () => {
    const path = writeArchive(join(temporaryFolder(), "cifar.tar.gz"), cifar10());
    const batches = [0, 1].map(async (workers) => {
      const views = { images: centerCrop(32, { resize: 32 }) };
      const loader = await openLoader({ source: { kind: "cifar", path }, views, batch: 8, seed: 0, workers });
      const { indices, fields } = await loader.batch(0, 0);
      await loader.close();
      return [indices, fields["images"]!.data];
    });
    expect(await batches[1]).toEqual(await batches[0]);
  });

  it("is evaluated on its test split whatever the split it is trained on", async () => {
    const path = writeArchive(join(temporaryFolder(), "cifar.tar.gz"), cifar10(10));
    const { source, shown, tasks } = await tasksOf({ kind: "cifar", path });
    expect(source.length).toBe(60);
    expect(list(shown).map(([id]) => String(id).split("/")[0])).toEqual(Array(10).fill("test"));
    expect(tasks[0]!.label).toBe("k-NN, 2 classes");
  });
});

it("CIFAR-100 has fine and coarse labels", async () => {
  const path = writeArchive(join(temporaryFolder(), "cifar.tar.gz"), cifar100());
  expect(list(await open(path, { split: "all" }))).toEqual([
    ["train/cat/0", 0],
    ["train/oak/1", 1],
    ["train/rose/2", 2],
    ["test/rose/0", 2],
  ]);
  const coarse = await open(path, { label: "coarse" });
  expect(coarse.classes).toEqual(["animal", "plant"]);
  expect(list(coarse).map(([, label]) => label)).toEqual([0, 1, 1]);
  expect((await coarse.load(2)).data).toEqual(image(2));
});

it("says what is wrong with the files", async () => {
  const dir = temporaryFolder();
  const path = join(dir, "cifar.tar.gz");
  await expect(open(path)).rejects.toThrow(`there is no file or folder ${path}`);
  writeFileSync(path, "not an archive");
  await expect(open(path)).rejects.toThrow(/cannot be unpacked \(.*\); download it again$/);
  writeArchive(path, cifar10());
  writeFileSync(path, readFileSync(path).subarray(0, 500));
  await expect(open(path)).rejects.toThrow("cannot be unpacked");
  writeArchive(path, { "readme.txt": new Uint8Array(3) });
  await expect(open(path)).rejects.toThrow("binary version: it has neither data_batch_1.bin nor train.bin");
  const photos = join(dir, "photos.tar.gz");
  writeArchive(photos, { "1.jpg": new Uint8Array(3) });
  await expect(open(photos)).rejects.toThrow(
    "is compressed (.tar.gz), so that no image in it can be read by itself: unpack it first, and give the folder",
  );
  truncateSync(path, 2 ** 28 + 1);
  await expect(open(path)).rejects.toThrow(
    / is compressed \(\.tar\.gz\), so that no image in it can be read by itself: unpack it first/,
  );
  const { "data_batch_3.bin": third, ...others } = cifar10();
  writeArchive(path, others);
  await expect(open(path)).rejects.toThrow("is not all of CIFAR-10: it has no data_batch_3.bin");
  writeArchive(path, { ...others, "data_batch_3.bin": third!.subarray(1) });
  await expect(open(path)).rejects.toThrow(
    /data_batch_3\.bin in .* is damaged: 12291 bytes are no whole number of 3073/,
  );
  writeArchive(path, { ...others, "data_batch_3.bin": third!.map((byte, i) => (i === 0 ? 9 : byte)) });
  await expect(open(path)).rejects.toThrow("is damaged: label 9 of 2 classes");
  writeArchive(path, cifar10());
  await expect(open(path, { label: "coarse" })).rejects.toThrow("CIFAR-10 has no coarse labels, only fine ones");
});
