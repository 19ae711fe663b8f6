import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { evaluationBatches } from "../../../src/data/batches/evaluation.ts";
import { encodePng } from "../../../src/data/formats/png.ts";
import type { Source } from "../../../src/data/source.ts";
import { openSource } from "../../../src/data/sources/open.ts";
import { subset } from "../../../src/data/sources/subset.ts";
import { centerCrop, maeView } from "../../../src/data/augmentation/views.ts";
import { temporaryFolder } from "../../run/temporary.ts";

const view = centerCrop(8);

async function collect(source: Source, options = {}) {
  const batches = [];
  for await (const batch of evaluationBatches(source, view, 4, options)) batches.push(batch);
  return batches;
}

describe("evaluation batches", () => {
  it("show every image once, in order, in batches of one shape", async () => {
    const batches = await collect(await openSource({ kind: "synthetic", length: 10 }));
    expect(batches.map(({ images }) => images.shape)).toEqual([1, 2, 3].map(() => [4, 3, 8, 8]));
    expect(batches.flatMap(({ indices }) => [...indices])).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(batches[2]!.images.data.subarray(2 * 192).every((x) => x === 0)).toBe(true);
  });

  it("show the images asked for", async () => {
    const source = await openSource({ kind: "synthetic", length: 10 });
    const [all, some] = [await collect(source), await collect(source, { indices: [5, 1] })];
    expect([...some[0]!.indices]).toEqual([5, 1]);
    expect(some[0]!.images.data.subarray(0, 192)).toEqual(all[1]!.images.data.subarray(192, 384));
  });

  it("reject at an unreadable image, or leave it out and tell", async () => {
    const source = await openSource({ kind: "synthetic", length: 3 });
    const broken: Source = {
      ...source,
      load: (i) => (i === 1 ? Promise.reject(new Error("cannot read image 1")) : source.load(i)),
    };
    await expect(collect(broken)).rejects.toThrow("cannot read image 1");
    const told: number[] = [];
    const batches = await collect(broken, { onUnreadable: (index: number) => told.push(index) });
    expect([told, [...batches[0]!.indices]]).toEqual([[1], [0, 2]]);
  });

  it("are the same whoever makes them, for part of a source and for random views too", async () => {
    const whole = await openSource({ kind: "synthetic", length: 40 });
    const part = subset(whole, [3, 31, 7, 8, 9, 20, 21, 0, 39, 11]);
    for (const options of [{}, { indices: [9, 2, 2, 5, 0, 1] }]) {
      const batches = async (workers: number) => {
        const made = [];
        for await (const each of evaluationBatches(part, maeView(8), 4, { ...options, seed: 5, epoch: 2, workers }))
          made.push(each);
        return made;
      };
      const alone = await batches(0);
      expect(await batches(1)).toEqual(alone);
      expect(await batches(2)).toEqual(alone);
    }
  });

  it("of workers leave out unreadable images, and the batches close up", async () => {
    const folder = temporaryFolder();
    const files = Array.from({ length: 11 }, (_, i) => `${i + 10}.png`);
    const { load } = await openSource({ kind: "synthetic", length: 11 });
    for (const [i, name] of files.entries()) writeFileSync(join(folder, name), await encodePng(await load(i)));
    for (const i of [0, 5, 6]) writeFileSync(join(folder, files[i]!), "no image");
    const source = await openSource({ kind: "folder", path: folder });
    const told: string[] = [];
    const onUnreadable = (index: number, { message }: Error) => void told.push(`${index}: ${message}`);
    const batches = await collect(source, { onUnreadable, workers: 2 });
    expect(batches.map(({ indices }) => [...indices])).toEqual([
      [1, 2, 3, 4],
      [7, 8, 9, 10],
    ]);
    expect(told.map((each) => each.slice(0, 24))).toEqual([
      "0: cannot read image 10.",
      "5: cannot read image 15.",
      "6: cannot read image 16.",
    ]);
    expect(batches).toEqual(await collect(source, { onUnreadable, workers: 0 }));
    await expect(collect(source, { workers: 1 })).rejects.toThrow("cannot read image 10.png");
  });

  it("come from the source that is given, also where it is a changed copy of one that workers could open", async () => {
    const source = await openSource({ kind: "synthetic", length: 8 });
    const white = { width: 8, height: 8, data: new Uint8Array(192).fill(255) };
    const batches = await collect({ ...source, load: async () => white }, { workers: 1 });
    expect(new Set(batches.flatMap(({ images }) => [...images.data])).size).toBe(3);
  });

  it("are made when they are asked for: no more than one is decoded ahead of a slow caller", async () => {
    const source = await openSource({ kind: "synthetic", length: 40 });
    let loads = 0;
    const counted: Source = { ...source, load: (i) => (loads++, source.load(i)) };
    const batches = evaluationBatches(counted, view, 4);
    for (let taken = 1; taken <= 3; taken++) {
      await batches.next();
      expect(loads).toBe(4 * taken);
    }
    await batches.return();
    expect(loads).toBe(12);
  });
});
