import { linkSync, mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect, it, onTestFinished, vi } from "vitest";
import { cached } from "../../../src/data/sources/cached.ts";
import { bytesOf } from "../../../src/data/sources/image-index.ts";
import { openLoader } from "../../../src/data/batches/loader.ts";
import { encodePng } from "../../../src/data/formats/png.ts";
import type { Source } from "../../../src/data/source.ts";
import { indexOf, openSource } from "../../../src/data/sources/open.ts";
import { maeView } from "../../../src/data/augmentation/views.ts";
import { temporaryFolder } from "../../run/temporary.ts";

const side = 16;
const pictures = 200;

/**
 * 100 nested folders of 1,000 images. Ten of them are real, the others are links to these; and the images are links to
 * 200 files, of which file `p` is all of red `p`.
 */
async function manyImages(): Promise<string> {
  const root = temporaryFolder();
  const originals = temporaryFolder();
  for (let p = 0; p < pictures; p++) {
    const data = new Uint8Array(3 * side * side).map((_, i) => (i % 3 === 0 ? p : 0));
    writeFileSync(join(originals, `${p}.png`), await encodePng({ width: side, height: side, data }));
  }
  const partOf = (c: number, part: number) => join(root, `class-${c}`, `part-${part}`);
  for (let part = 0; part < 10; part++) {
    const real = partOf(0, part);
    mkdirSync(real, { recursive: true });
    for (let i = 0; i < 1000; i++)
      linkSync(join(originals, `${i % pictures}.png`), join(real, `some-photograph-${String(i).padStart(6, "0")}.png`));
    for (let c = 1; c < 10; c++) {
      mkdirSync(dirname(partOf(c, part)), { recursive: true });
      symlinkSync(real, partOf(c, part), "dir");
    }
  }
  return root;
}

const pictureOf = (source: Source, image: number) => Number(/(\d+)\.png$/.exec(source.id(image))![1]) % pictures;

it("a hundred thousand images are indexed once and stream in bounded memory", { timeout: 60_000 }, async () => {
  const cache = temporaryFolder();
  vi.stubEnv("LAYERGRAFT_CACHE", cache);
  onTestFinished(() => void vi.unstubAllEnvs());
  const path = await manyImages();
  await setTimeout(200); // what has just changed is not kept
  const spec = { kind: "folder", path } as const;

  const index = (await indexOf(spec))!;
  expect(index.length).toBe(100_000);
  expect(bytesOf(index)).toBe(100_000 * ("class-0/part-0/some-photograph-000000.png".length + 4 + 4));
  expect(readdirSync(join(cache, "indexes"))).toEqual([expect.stringMatching(/^folder-.*\.index$/)]);

  const views = { images: maeView(4, { scale: [1, 1], mean: [0, 0, 0], std: [1, 1, 1] }) };
  const options = { source: spec, views, batch: 250, seed: 1 };
  const loader = await openLoader({ ...options, workers: 2, cacheBytes: 2 ** 20 });
  const { source } = loader;
  expect([source.length, source.classes.length, loader.stepsPerEpoch]).toEqual([100_000, 10, 400]);
  expect((await indexOf(spec)) === index).toBe(true); // the loader has no other
  const seen = new Set<number>();
  for (let step = 0; step < 3; step++) {
    const { indices, fields } = await loader.batch(0, step);
    for (const [row, image] of indices.entries()) {
      seen.add(image);
      expect(Math.round(fields["images"]!.data[row * 48]! * 255)).toBe(pictureOf(source, image));
    }
  }
  expect(seen.size).toBe(750);
  await loader.close();
  const resumed = await openLoader({ ...options, workers: 0 });
  expect([...(await resumed.batch(0, 2)).indices]).toEqual([...seen].slice(500));

  const asked: number[] = [];
  const counted = { ...source, load: (i: number) => (asked.push(i), source.load(i)) };
  const remembering = cached(counted, 20 * 3 * side * side);
  for (const _ of [1, 2]) for (let i = 0; i < 60; i++) await remembering.load(i * 1499);
  expect(asked.length).toBe(60 + (60 - 20));

  vi.resetModules(); // another process
  const later = await import("../../../src/data/sources/open.ts");
  const read = (await later.indexOf(spec))!;
  expect(read === index).toBe(false);
  for (const column of ["names", "ends", "labels"] as const)
    expect(Buffer.compare(Buffer.from(read[column]!), Buffer.from(index[column]!)), column).toBe(0);
  const first = join(path, source.id(0));
  renameSync(first, first.replace("000000", "000000-renamed"));
  expect((await openSource(spec)).id(0)).toBe(source.id(0).replace("000000", "000000-renamed"));
});
