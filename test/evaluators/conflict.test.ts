import { describe, expect, it } from "vitest";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import {
  addTo,
  type Agreement,
  agreements,
  conflictRows,
  describeTrend,
  distribution,
  trend,
} from "../../src/evaluators/conflict.ts";

type Sum = Map<string, Tensor<"float64">>;

function gradients(values: Readonly<Record<string, readonly number[]>>) {
  return new Map(
    Object.entries(values).map(([name, list]) => [name, tensor("float32", [list.length], Float32Array.from(list))]),
  );
}

describe("agreements", () => {
  const mim = gradients({
    cls_token: [9],
    "blocks.10.attn.qkv.weight": [1, 0],
    "blocks.2.attn.qkv.weight": [3, 4],
    "blocks.2.mlp.fc1.bias": [1],
    "blocks.2.norm1.weight": [2],
    "blocks.2.norm2.bias": [0],
    "norm.weight": [5],
    "decoder_blocks.2.attn.qkv.weight": [7],
  });
  const cl = gradients({
    cls_token: [9],
    "blocks.10.attn.qkv.weight": [-2, 0],
    "blocks.2.attn.qkv.weight": [4, -3],
    "blocks.2.mlp.fc1.bias": [-2],
    "blocks.2.norm1.weight": [1],
    "blocks.2.norm2.bias": [1],
    "norm.weight": [5],
  });
  const found = agreements(mim, cl);

  it("are the cosines of each block and group, input side first", () => {
    expect(found.map(({ block, group }) => `${block} ${group}`)).toEqual(
      [2, 10].flatMap((block) => ["attention", "mlp", "norm", "block"].map((group) => `${block} ${group}`)),
    );
    const at = (block: number, group: string) => found.find((each) => each.block === block && each.group === group);
    expect(at(2, "attention")).toEqual({ block: 2, group: "attention", cosine: 0, mimNorm: 5, clNorm: 5 });
    expect(at(2, "mlp")).toEqual({ block: 2, group: "mlp", cosine: -1, mimNorm: 1, clNorm: 2 });
    expect(at(2, "norm")!.cosine).toBeCloseTo(2 / (2 * Math.sqrt(2)), 12);
    // (0 - 2 + 2) over the norms of all three groups together
    expect(at(2, "block")).toMatchObject({ cosine: 0, mimNorm: Math.sqrt(30), clNorm: Math.sqrt(31) });
    expect(at(10, "block")!.cosine).toBe(-1);
  });
  it("are zero where a gradient is, and take a missing parameter for zero", () => {
    const one = gradients({ "blocks.0.attn.proj.bias": [1], "blocks.0.mlp.fc2.bias": [3] });
    const other = gradients({ "blocks.0.attn.proj.bias": [2] });
    const byGroup = new Map(agreements(one, other).map(({ group, cosine }) => [group, cosine]));
    expect(byGroup.get("mlp")).toBe(0);
    expect(byGroup.get("norm")).toBe(0);
    expect(byGroup.get("block")).toBeCloseTo(2 / (Math.sqrt(10) * 2), 12);
    expect(agreements(other, one)[3]!.cosine).toBe(byGroup.get("block"));
  });
  it("sum in float64", () => {
    // 4096² is 2²⁴, from where on a sum in float32 does not see a 1
    const wide = gradients({ "blocks.0.mlp.fc1.weight": [4096, 1, 1, 1, 1] });
    expect(agreements(wide, wide)[1]!.mimNorm).toBe(Math.sqrt(2 ** 24 + 4));
  });
});

describe("statistics", () => {
  it("of a distribution", () => {
    expect(distribution([4, -1, 2, 0, 1])).toEqual({
      mean: 1.2,
      deviation: 1.923538, // squares 7.84 + 4.84 + 0.64 + 1.44 + 0.04 over 4
      quantiles: { p5: -0.8, p25: 0, p50: 1, p75: 2, p95: 3.6 },
      negative: 0.2,
    });
    expect(distribution([3])).toMatchObject({ mean: 3, deviation: 0, quantiles: { p5: 3, p95: 3 }, negative: 0 });
  });
  it("of the trend with depth", () => {
    // means 3, 2, 0: slopes of the batches -1 and -2
    expect(
      trend([
        [3, 2, 1],
        [3, 2, -1],
      ]),
    ).toEqual({ rankCorrelation: -1, slopePerBlock: -1.5, slopeError: 0.5 });
    // ranks 0, 1.5, 1.5, 3
    expect(trend([[1, 2, 2, 9]])).toEqual({ rankCorrelation: 0.948683, slopePerBlock: 2.4 });
    expect(trend([[5], [6]])).toEqual({ rankCorrelation: 0, slopePerBlock: 0, slopeError: 0 });
  });
  it("of gradients averaged first: noise of single batches that hides a conflict falls out", () => {
    const noise = [3, -3, 2, -2];
    const sums = [new Map(), new Map()] as [Sum, Sum];
    const batches: Agreement[][] = noise.map((x, i) => {
      const mim = gradients({ "blocks.0.norm1.bias": [1, x] });
      const cl = gradients({ "blocks.0.norm1.bias": [-1, i % 2 === 0 ? 3 : -3] });
      addTo(sums[0], mim);
      addTo(sums[1], cl);
      return agreements(mim, cl);
    });
    const { rows } = conflictRows(batches, agreements(...sums));
    const whole = rows.find(({ group }) => group === "block")!;
    expect(whole.negative).toBe(0);
    expect(whole.ofMeans).toBe(-1);
    expect(conflictRows(batches).rows[0]).not.toHaveProperty("ofMeans");
  });
  it("of rows: a value per batch beside them", () => {
    const batch = (cosines: readonly number[]) =>
      cosines.flatMap((cosine, block) =>
        (["attention", "mlp", "norm", "block"] as const).map((group, i) => ({
          block,
          group,
          cosine: cosine / (i + 1),
          mimNorm: 1 / 3,
          clNorm: 123_456_789,
        })),
      );
    const { rows, trends } = conflictRows([batch([0.5, 0.25]), batch([0.5, -0.25])]);
    expect(rows).toHaveLength(8);
    expect(rows[5]).toMatchObject({ block: 1, group: "mlp", cosines: [0.125, -0.125], mean: 0, negative: 0.5 });
    expect(rows[5]).toMatchObject({ mimNorms: [0.333333, 0.333333], clNorms: [123_457_000, 123_457_000] });
    expect(trends.attention).toEqual({ rankCorrelation: -1, slopePerBlock: -0.5, slopeError: 0.25 });
    expect(trends.block.slopePerBlock).toBe(-0.125);
  });
});

it.each([
  ["grows", { rankCorrelation: -0.94, slopePerBlock: -0.02, slopeError: 0.004 }, 6],
  ["shrinks", { rankCorrelation: 0.94, slopePerBlock: 0.02, slopeError: 0.004 }, 6],
  ["no clear trend: the order is not clear", { rankCorrelation: -0.77, slopePerBlock: -0.02, slopeError: 0.004 }, 6],
  ["no clear trend: within the error", { rankCorrelation: -0.94, slopePerBlock: -0.02, slopeError: 0.011 }, 6],
  ["no clear trend: one batch", { rankCorrelation: -1, slopePerBlock: -0.02 }, 12],
  ["no clear trend: few blocks", { rankCorrelation: -1, slopePerBlock: -0.02, slopeError: 0.001 }, 4],
])("the sentence says %s", (what, found, blocks) => {
  const text = describeTrend(found, blocks);
  if (what.startsWith("no"))
    expect(text).toMatch(/^No clear trend of the conflict with depth: .* over \d+ blocks\)\.$/);
  else
    expect(text).toMatch(new RegExp(`^The conflict ${what} with depth: the cosine (falls|rises) by 0.0200 ± 0.0040`));
});
