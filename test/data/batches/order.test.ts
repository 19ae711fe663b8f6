import { describe, expect, it } from "vitest";
import { epochOrder, workerOf } from "../../../src/data/batches/order.ts";
import { blockOf } from "../../../src/data/sources/blocks.ts";
import { fold, key, Random } from "../../../src/tensor/random.ts";

const root = (epoch: number) => fold(key(3), "order", epoch);
const numbers = (length: number) => Array.from({ length }, (_, i) => i);
const sorted = (order: Int32Array) => Array.from(order.toSorted());

describe("the order of an epoch", () => {
  it("is the permutation that runs have always had", () => {
    expect(epochOrder(50, undefined, root(2))).toEqual(new Random(root(2)).permutation(50));
  });

  it("shows every image of every block once, anew in each epoch", () => {
    const blocks = [0, 1, 7, 30, 31];
    expect(sorted(epochOrder(40, blocks, root(0)))).toEqual(numbers(40));
    expect(epochOrder(40, blocks, root(0))).toEqual(epochOrder(40, blocks, root(0)));
    expect(epochOrder(40, blocks, root(0))).not.toEqual(epochOrder(40, blocks, root(1)));
  });

  it.each([
    [1024, 8, 8], // enough images in eight blocks
    [100, 82, 82], // more blocks, so that a batch is still mixed
    [5000, 8, 8], // never fewer
  ])("has blocks of %i images in few pieces: at most %i at a time", (size, most, window) => {
    const count = 200;
    const order = epochOrder(
      count * size,
      Uint32Array.from(numbers(count), (b) => b * size),
      root(0),
    );
    expect(sorted(order)).toEqual(numbers(count * size));
    const [first, last] = [new Map<number, number>(), new Map<number, number>()];
    for (const [place, image] of order.entries()) {
      const block = Math.floor(image / size);
      if (!first.has(block)) first.set(block, place);
      last.set(block, place);
    }
    for (let place = 0; place < order.length; place += 997)
      expect(
        [...first.keys()].filter((b) => first.get(b)! <= place && last.get(b)! >= place).length,
      ).toBeLessThanOrEqual(most);
    // A window holds blocks from all over the data, each spread over the window.
    const together = new Set([...order.subarray(0, window * size)].map((image) => Math.floor(image / size)));
    expect(together.size).toBe(window);
    expect(Math.max(...together) - Math.min(...together)).toBeGreaterThan(count / 4);
    expect(new Set([...order.subarray(0, 64)].map((image) => Math.floor(image / size))).size).toBeGreaterThan(4);
  });
});

it("a window has as many images as the source says, in whole blocks", () => {
  const blocks = Uint32Array.from(numbers(50), (b) => 10 * b);
  const order = epochOrder(500, blocks, root(0), 25);
  expect(sorted(order)).toEqual(numbers(500));
  for (let start = 0; start < 480; start += 30)
    expect(new Set([...order.subarray(start, start + 30)].map((image) => Math.floor(image / 10))).size).toBe(3);
  expect(order.subarray(0, 30)).not.toEqual(order.slice(0, 30).sort());
});

describe("workers", () => {
  it("own images by number, or whole blocks where there are enough", () => {
    const blocks = [0, 10, 11, 40, 60, 61, 70, 80];
    const owner = workerOf(blocks, 2);
    expect([0, 9, 10, 11, 39, 40, 80, 99].map(owner)).toEqual([0, 0, 1, 0, 0, 1, 1, 1]);
    expect([0, 1, 2, 3, 4, 5].map(workerOf(blocks, 3))).toEqual([0, 1, 2, 0, 1, 2]);
    expect([0, 1, 2].map(workerOf(undefined, 2))).toEqual([0, 1, 0]);
    expect([0, 9, 10, 79, 80, 1000].map((i) => blockOf(blocks, i))).toEqual([0, 0, 1, 6, 7, 7]);
  });
});
