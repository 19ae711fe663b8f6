import { describe, expect, it } from "vitest";
import { attentionDistance, classAttention, overlay } from "../../src/evaluators/attention.ts";
import { expectAllclose, floats, valueOf } from "../helpers.ts";

const model = { imageSize: 32, patchSize: 16, width: 8, depth: 1, heads: 2 }; // four patches
const tokens = 5;

/** [1, 2, 5, 5] from what each of two heads pays from token q to token k. */
const attention = (...heads: ((q: number, k: number) => number)[]) =>
  floats(
    [1, 2, tokens, tokens],
    heads.flatMap((head) => Array.from({ length: tokens ** 2 }, (_, at) => head(Math.floor(at / tokens), at % tokens))),
  );
const distances = (weights: ReturnType<typeof attention>) =>
  valueOf((w) => attentionDistance(w, model), weights).then(({ data }) => Array.from(data as Float32Array));

describe("mean attention distance", () => {
  it("of patches that look at themselves, and of those that look across the corner", async () => {
    const itself = (q: number, k: number) => Number(q === k);
    const opposite = (q: number, k: number) => Number(q + k === 5);
    expectAllclose(await distances(attention(itself, opposite)), [0, 16 * Math.SQRT2]);
  });

  it("counts the class token's share as distance 0, and does not count its own looks", async () => {
    const even = () => 1 / tokens;
    const all = (q: number, k: number) => (q === 0 ? Number(k === 4) : Number(k === 0));
    expectAllclose(await distances(attention(even, all)), [(16 + 16 + 16 * Math.SQRT2) / tokens, 0]);
  });
});

it("the class token's look is its row, patches alone, averaged over heads", async () => {
  const weights = attention(
    (q, k) => 10 * q + k,
    (q, k) => 10 * q + 3 * k,
  );
  const { shape, data } = await valueOf(classAttention, weights);
  expect(shape).toEqual([1, 4]);
  expectAllclose(data, [2, 4, 6, 8]);
});

describe("an overlay", () => {
  const pixels = { width: 8, height: 8, data: Uint8Array.from({ length: 192 }, (_, i) => (i * 37) % 256) };
  const contrast = (data: Uint8Array) => Math.max(...data) - Math.min(...data);

  it("is the picture where all is looked at alike, and a veil over all of it where nothing is", () => {
    expect(overlay(pixels, [0.1, 0.1, 0.1, 0.1])).toEqual(pixels);
    const { data } = overlay(pixels, [0, 0, 0, 0]);
    expect(contrast(data)).toBeLessThan(0.25 * contrast(pixels.data));
  });

  it("is clear at the corner that is looked at, and veiled at the one that is not", () => {
    const { data } = overlay(pixels, [0, 0, 0, 0.4]); // rows of two: the lower right
    expect(data.subarray(-6)).toEqual(pixels.data.subarray(-6));
    expect(contrast(data.subarray(0, 6))).toBeLessThan(0.25 * contrast(pixels.data.subarray(0, 6)));
    expect(pixels.data.subarray(0, 6)).toContain(0); // the original is left as it was
  });
});
