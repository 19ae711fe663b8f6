/** Images that are looked at once: whatever a source leaves out of them, views show the same. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openFiles } from "../../../src/data/sources/files.ts";
import { rowMaker } from "../../../src/data/batches/rows.ts";
import type { DecodeHint, Source } from "../../../src/data/source.ts";
import { centerCrop, maeView, mocoViews, noise } from "../../../src/data/augmentation/views.ts";
import { key } from "../../../src/tensor/random.ts";
import { jpegFile } from "../formats/jpeg-file.ts";

let folder: string;
let source: Source;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "layergraft-decode-hint-"));
  const paths = Array.from({ length: 12 }, (_, i) => join(folder, `${i}.jpg`));
  for (const [i, path] of paths.entries()) {
    const factors = [[0x22, 0x11, 0x11], [0x21, 0x11, 0x11], [0x11]][i % 3]!;
    await writeFile(path, jpegFile({ width: 150 - 9 * i, height: 60 + 7 * i, factors, seed: key(i) }));
  }
  source = openFiles(paths);
});
afterAll(() => rm(folder, { recursive: true }));

/** Rows of two epochs. */
async function rowsOf(source: Source, cacheBytes: number) {
  const views = { images: maeView(32), ...mocoViews(32), whole: centerCrop(32), noise: noise(4) };
  const make = rowMaker(source, { views, seed: 3, cacheBytes, maxBadShare: 0.5 });
  const all = Int32Array.from({ length: source.length }, (_, i) => i);
  return [(await make(0, all)).fields, (await make(1, all)).fields];
}

it("views of parts are views of whole images", async () => {
  const whole = await rowsOf({ ...source, load: (i) => source.load(i) }, 0);
  expect(await rowsOf(source, 0)).toEqual(whole);
  expect(await rowsOf(source, 1e9)).toEqual(whole);
  expect(await rowsOf(source, 50_000)).toEqual(whole); // some are kept
});

it("only images that are not kept are read in parts, and their memory is used again", async () => {
  const hints: DecodeHint[] = [];
  const memories = new Set<ArrayBufferLike>();
  const watched: Source = {
    ...source,
    async load(i, hint) {
      if (hint !== undefined) hints.push(hint);
      const pixels = await source.load(i, hint);
      memories.add(pixels.data.buffer);
      return pixels;
    },
  };
  const make = rowMaker(watched, { views: { images: maeView(16) }, seed: 0, cacheBytes: 0, maxBadShare: 0 });
  const large = new Int32Array(20); // the first image again and again
  await make(0, large);
  expect(hints.length).toBe(20);
  expect(memories.size).toBeLessThan(8);
  const { left, top, width, height } = hints[0]!.region(150, 60);
  expect(Math.min(left, top)).toBeGreaterThanOrEqual(0);
  expect([left + width <= 150, top + height <= 60, width * height < 150 * 60]).toEqual([true, true, true]);
  await rowsOf(watched, 1e9);
  expect(hints.length).toBe(20);
});
