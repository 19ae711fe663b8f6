import { expect, it } from "vitest";
import { allocateBlocks } from "../../src/backend/memory.ts";

it("starts every array on 16 bytes, apart from the others, filled with zeros", async () => {
  const shapes = [[1], [3, 3], [], [2, 2], [5]];
  const blocks = await allocateBlocks(shapes.map((shape) => ({ shape, arrays: ["a", "b"] })));
  const places = blocks.flatMap(({ pointers, length }) =>
    Object.values(pointers).map((start) => ({ start, end: start + 4 * length })),
  );
  for (const [i, { start }] of places.entries()) {
    expect(start % 16).toBe(0);
    expect(start).toBeGreaterThanOrEqual(i === 0 ? 16 : places[i - 1]!.end);
  }
  for (const [i, { tensors }] of blocks.entries()) {
    expect(tensors["a"]!.shape).toEqual(shapes[i]);
    expect(tensors["b"]!.data.every((x) => x === 0)).toBe(true);
  }
});

it("refuses what fits in no memory", async () => {
  await expect(allocateBlocks([{ shape: [2 ** 20, 2 ** 10], arrays: ["w"] }])).rejects.toThrow(
    new Error("a parameter of 4294967296 bytes does not fit in a 4 GiB memory"),
  );
});
