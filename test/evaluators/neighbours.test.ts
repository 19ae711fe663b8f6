import { describe, expect, it } from "vitest";
import { neighbours } from "../../src/evaluators/neighbours.ts";
import { retrieval } from "../../src/evaluators/retrieval.ts";
import { randomFor } from "../helpers.ts";
import { featuresOf } from "./toy.ts";

const randomRows = (name: string, count: number, width = 6) => {
  const random = randomFor(name);
  return Array.from({ length: count }, () => Array.from({ length: width }, () => random.normal()));
};
const cosine = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, x, i) => sum + x * b[i]!, 0) / Math.hypot(...a) / Math.hypot(...b);

describe("neighbours", () => {
  it.each([1, 256, 300])("of %i queries are the most similar rows by cosine, in order", async (count) => {
    const queries = randomRows("queries", count);
    const gallery = randomRows("gallery", 40);
    const found = await neighbours(featuresOf(queries), featuresOf(gallery), 3);
    expect(found.indices).toHaveLength(3 * count);
    for (const [q, query] of queries.entries()) {
      const sorted = gallery.map((row, i) => ({ i, similarity: cosine(query, row) }));
      sorted.sort((a, b) => b.similarity - a.similarity);
      for (let j = 0; j < 3; j++) {
        expect(found.indices[3 * q + j]).toBe(sorted[j]!.i);
        expect(found.similarities[3 * q + j]).toBeCloseTo(sorted[j]!.similarity, 5);
      }
    }
  });

  it("do not depend on lengths, and a row of zeros is like nothing", async () => {
    const gallery = featuresOf([
      [0, 0],
      [100, 1],
      [0.1, 0.1],
    ]);
    const { indices, similarities } = await neighbours(featuresOf([[3, 3]]), gallery, 3);
    expect([...indices]).toEqual([2, 1, 0]);
    expect(similarities[0]).toBeCloseTo(1);
    expect(similarities[2]).toBe(0);
  });

  it("are refused when the gallery has fewer", async () => {
    const two = featuresOf(randomRows("two", 2));
    await expect(neighbours(two, two, 3)).rejects.toThrow(
      "3 neighbours were asked for, but the gallery has only 2 images",
    );
  });
});

describe("retrieval", () => {
  const gallery = {
    features: featuresOf([
      [1, 0],
      [0, 1],
      [-1, 0],
    ]),
    identities: Int32Array.of(4, 5, 6),
  };
  it("is the share of queries whose nearest image shows the same", async () => {
    const queries = {
      features: featuresOf([
        [2, 1],
        [2, 1],
        [0, 1],
      ]),
      identities: Int32Array.of(4, 6, 5),
    };
    expect((await retrieval(queries, gallery)).value).toBeCloseTo(2 / 3);
  });
  it("leaves out queries without a counterpart", async () => {
    const queries = {
      features: featuresOf([
        [1, 0],
        [1, 0],
      ]),
      identities: Int32Array.of(4, 99),
    };
    expect((await retrieval(queries, gallery)).value).toBe(1);
  });
});
