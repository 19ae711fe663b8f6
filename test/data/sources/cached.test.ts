import { expect, it } from "vitest";
import { cached } from "../../../src/data/sources/cached.ts";
import { synthetic } from "../../../src/data/sources/synthetic.ts";

it("keeps images as long as there is room, and nothing of those that cannot be read", async () => {
  const source = await synthetic.open({ kind: "synthetic", length: 4, size: 4, seed: 0 });
  const asked: number[] = [];
  const counted = {
    ...source,
    load: (i: number) => {
      asked.push(i);
      return i === 3 ? Promise.reject(new Error("broken")) : source.load(i);
    },
  };
  const remembering = cached(counted, 2 * 4 * 4 * 3);
  for (const i of [0, 1, 2, 0, 1, 2]) expect(await remembering.load(i)).toEqual(await source.load(i));
  expect(asked).toEqual([0, 1, 2, 2]);
  for (const _ of [1, 2]) await expect(remembering.load(3)).rejects.toThrow("broken");
  expect(asked).toEqual([0, 1, 2, 2, 3, 3]);
});
