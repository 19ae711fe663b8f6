import { describe, expect, it } from "vitest";
import { evaluationBatches } from "../../src/data/evaluation.ts";
import { openSource, type Source } from "../../src/data/source.ts";
import { centerCrop } from "../../src/data/views.ts";

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
});
