import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterEach, describe, expect, it } from "vitest";
import { type Batch, type Loader, type LoaderOptions, openLoader } from "../../../src/data/batches/loader.ts";
import { maeView, mocoViews, noise } from "../../../src/data/augmentation/views.ts";

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

async function loader(changes: Partial<LoaderOptions> = {}): Promise<Loader> {
  const result = await openLoader({
    source: { kind: "synthetic", length: 22, size: 16 },
    views: { ...mocoViews(8), noise: noise(4) },
    batch: 4,
    seed: 7,
    ...changes,
  });
  opened.push(() => result.close());
  return result;
}

/** Every batch of the first `epochs` epochs. */
async function epochs(from: Loader, count: number): Promise<Batch[]> {
  const all: Batch[] = [];
  for (let epoch = 0; epoch < count; epoch++)
    for (let step = 0; step < from.stepsPerEpoch; step++) all.push(await from.batch(epoch, step));
  return all;
}

/** A folder of `count` images, of which those in `bad` are not. */
async function folder(count: number, bad: readonly number[]): Promise<LoaderOptions["source"]> {
  const path = await mkdtemp(join(tmpdir(), "layergraft-loader-"));
  opened.push(() => rm(path, { recursive: true }));
  for (let i = 0; i < count; i++) {
    const file = join(path, `${String(i).padStart(3, "0")}.png`);
    const background = { r: i, g: 0, b: 0 };
    if (bad.includes(i)) await writeFile(file, "not a picture");
    else await sharp({ create: { width: 8, height: 8, channels: 3, background } }).toFile(file);
  }
  return { kind: "folder", path };
}

describe("loader", () => {
  it("gives fields of the views' shapes, on plain memory", async () => {
    const batch = await (await loader()).batch(0, 0);
    expect(Object.entries(batch.fields).map(([name, { shape }]) => [name, shape])).toEqual([
      ["view1", [4, 3, 8, 8]],
      ["view2", [4, 3, 8, 8]],
      ["noise", [4, 4]],
    ]);
    for (const { data } of Object.values(batch.fields)) expect(data.buffer).toBeInstanceOf(ArrayBuffer);
    expect(batch.indices.length).toBe(4);
  });

  it("shows no image twice in an epoch, and leaves the incomplete batch out", async () => {
    const source = await loader({ workers: 0 });
    expect(source.stepsPerEpoch).toBe(5);
    const indices = (await epochs(source, 2)).map((batch) => [...batch.indices]);
    expect(new Set(indices.slice(0, 5).flat()).size).toBe(20);
    expect(new Set(indices.slice(5).flat()).size).toBe(20);
    expect(indices.slice(0, 5)).not.toEqual(indices.slice(5));
  });

  it("is the same for any number of workers and any cache", async () => {
    const expected = await epochs(await loader({ workers: 0 }), 2);
    for (const changes of [{ workers: 1 }, { workers: 3 }, { workers: 2, cacheBytes: 2000 }])
      expect(await epochs(await loader(changes), 2)).toEqual(expected);
  });

  it("starts anywhere: a batch is a function of epoch and step", async () => {
    const all = await epochs(await loader({ workers: 0 }), 3);
    const jumping = await loader();
    for (const serial of [12, 3, 4, 0, 13])
      expect(await jumping.batch(Math.floor(serial / 5), serial % 5)).toEqual(all[serial]);
  });

  it("augments an image anew in every epoch, and the two views apart", async () => {
    const one = await loader({ source: { kind: "synthetic", length: 1 }, batch: 1 });
    const [first, second] = [await one.batch(0, 0), await one.batch(1, 0)];
    expect(first.fields["view1"]!.data).not.toEqual(second.fields["view1"]!.data);
    expect(first.fields["view1"]!.data).not.toEqual(first.fields["view2"]!.data);
    expect(first.fields["noise"]!.data).not.toEqual(second.fields["noise"]!.data);
  });

  it("goes on by itself while the caller is blocked, and counts only real waiting", async () => {
    const busy = await loader();
    await busy.batch(0, 0);
    const blocked = performance.now() + 500;
    while (performance.now() < blocked);
    const before = busy.waited();
    await busy.batch(0, 1);
    await busy.batch(0, 2);
    expect(busy.waited() - before).toBeLessThan(100);
  });

  it("uses as many images as `limit` says, the same ones everywhere", async () => {
    const few = await loader({ limit: 9 });
    expect([few.source.length, few.stepsPerEpoch]).toEqual([9, 2]);
    expect(await epochs(few, 2)).toEqual(await epochs(await loader({ limit: 9, workers: 0 }), 2));
  });

  it("refuses a batch larger than the data set, and steps that do not exist", async () => {
    await expect(loader({ batch: 23 })).rejects.toThrow(
      "a batch of 23 is larger than the data set of 22 images: set batch to 22 or less, or add images",
    );
    await expect((await loader()).batch(0, 5)).rejects.toThrow(
      "there is no step 5 in epoch 0: an epoch has steps 0 to 4",
    );
  });

  it("shares every batch out among ranks", async () => {
    const whole = await epochs(await loader({ workers: 0 }), 2);
    const ranks = [];
    for (const rank of [0, 1]) ranks.push(await epochs(await loader({ rank, ranks: 2, workers: rank }), 2));
    for (const [b, batch] of whole.entries()) {
      const parts = ranks.map((batches) => batches[b]!);
      expect(parts.flatMap(({ indices }) => [...indices])).toEqual([...batch.indices]);
      for (const [name, { shape, data }] of Object.entries(batch.fields)) {
        expect(parts.map(({ fields }) => fields[name]!.shape[0])).toEqual([2, 2]);
        expect(shape[0]).toBe(4);
        expect(parts.flatMap(({ fields }) => [...fields[name]!.data])).toEqual([...data]);
      }
    }
    await expect(loader({ rank: 0, ranks: 3 })).rejects.toThrow(
      "a batch of 4 cannot be shared by 3 ranks: set batch to a multiple of 3",
    );
    await expect(loader({ rank: 2, ranks: 2 })).rejects.toThrow("there is no rank 2: 2 ranks have numbers 0 to 1");
  });

  it("gives every batch in micro-batches, pass after pass", async () => {
    const whole = await loader({ batch: 8 });
    const cut = await loader({ batch: 8, microBatches: 2, passes: 2, rank: 1, ranks: 2 });
    for (const [epoch, step] of [
      [0, 0],
      [0, 1],
      [1, 0],
    ] as const) {
      const { fields, indices } = await whole.batch(epoch, step);
      for (const microBatch of [0, 1, 2, 3]) {
        const part = await cut.batch(epoch, step, microBatch);
        const first = 4 + 2 * (microBatch % 2);
        expect(part.indices).toEqual(indices.slice(first, first + 2));
        for (const [name, { data, shape }] of Object.entries(part.fields)) {
          const size = data.length / 2;
          expect(shape[0]).toBe(2);
          expect(data).toEqual(fields[name]!.data.slice(first * size, (first + 2) * size));
        }
      }
    }
    await expect(cut.batch(0, 0, 4)).rejects.toThrow("there is no micro-batch 4 of a batch in 4");
    await expect(loader({ batch: 8, microBatches: 3 })).rejects.toThrow("8 images cannot be cut into 3 equal parts");
  });

  it("refuses an epoch whose steps cannot be counted", async () => {
    const far = await loader({ workers: 0 });
    await expect(far.batch(2 ** 51, 0)).rejects.toThrow("epoch 2251799813685248 is too far");
    await expect(far.batch(Infinity, 0)).rejects.toThrow("is too far");
    expect((await far.batch(2 ** 50, 0)).indices.length).toBe(4);
  });

  it("rejects after close", async () => {
    const closed = await loader();
    await closed.close();
    await expect(closed.batch(0, 0)).rejects.toThrow("the loader is closed");
  });
});

describe("unreadable images", () => {
  const views = { images: maeView(4, { scale: [1, 1], mean: [0, 0, 0], std: [1, 1, 1] }) };

  it("are skipped, named once and stood in for by the next one, for any number of workers", async () => {
    const source = await folder(20, [3, 4, 19]);
    const options = { source, views, batch: 10, maxBadShare: 0.2 };
    const expected = await epochs(await loader({ ...options, workers: 0 }), 2);
    for (const workers of [1, 3]) {
      const tolerant = await loader({ ...options, workers });
      const batches = await epochs(tolerant, 2);
      expect(batches).toEqual(expected);
      const indices = batches.slice(0, 2).flatMap((batch) => [...batch.indices]);
      expect(indices.filter((i) => i === 5).length).toBe(3);
      expect(indices.filter((i) => i === 0).length).toBe(2);
      // The red of an image is its number.
      const first = batches[0]!;
      for (const [row, index] of first.indices.entries())
        expect(first.fields["images"]!.data[row * 48]! * 255).toBeCloseTo(index, 3);
      expect(tolerant.skipped.map(({ id }) => id)).toEqual(["003.png", "004.png", "019.png"]);
      expect(tolerant.skipped[0]!.reason).toMatch(/^cannot read image 003\.png: /);
    }
  });

  it.each([0, 2])("that lie together are no more than they are (%i workers)", async (workers) => {
    const block = Array.from({ length: 18 }, (_, i) => 100 + i); // 9 % of all, found at once by those that stand in
    const tolerant = await loader({ source: await folder(200, block), views, batch: 10, workers });
    await epochs(tolerant, 1);
    expect(tolerant.skipped).toHaveLength(18);
  });

  it.each([0, 1, 2])("are an error when there are too many (%i workers)", async (workers) => {
    const source = await folder(20, [1, 2, 3, 4, 5, 6, 7, 8]);
    const strict = await loader({ source, views, batch: 10, workers });
    const message =
      /^at least [3-8] of 20 images cannot be read, more than the 10 % allowed; the first: cannot read image 00\d\.png: .*\. Mend or remove them, or allow more: --max-bad-share 0\.3$/;
    await expect(epochs(strict, 1)).rejects.toThrow(message);
  });
});
