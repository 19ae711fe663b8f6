import { describe, expect, it } from "vitest";
import { sizeOf } from "../../src/tensor/shape.ts";
import { tensor } from "../../src/tensor/tensor.ts";
import * as op from "../../src/graph/ops/index.ts";
import type { Value } from "../../src/graph/value.ts";
import { norm } from "../../src/nn/layers.ts";
import { Scope } from "../../src/nn/scope.ts";
import { backbonePattern, encode, layerOf, patchCount, patches, presets, type VitConfig } from "../../src/nn/vit.ts";
import {
  at,
  draw,
  evaluate,
  expectAllclose,
  initialValues,
  inputFor,
  integers,
  randomFor,
  tabulate,
  valueOf,
} from "../helpers.ts";

it.each(["", "base_encoder.", "a+b."])("knows the backbone's names below %j, and no others", (prefix) => {
  const pattern = new RegExp(backbonePattern(prefix));
  const names = [...declared(tiny).variables.keys()];
  expect(names.filter((name) => !pattern.test(prefix + name))).toEqual([]);
  const others = ["head.0.weight", "mask_token", "decoder_blocks.0.norm1.bias", "decoder_pos_embed", "fc_norm.weight"];
  expect([...others.map((name) => prefix + name), `x${prefix}cls_token`].filter((name) => pattern.test(name))).toEqual(
    [],
  );
});

const tiny: VitConfig = { imageSize: 8, patchSize: 4, width: 16, depth: 2, heads: 2 };

function declared(config: VitConfig): Scope {
  const p = new Scope();
  encode(p, config, op.input("pixels", "float32", [1, patchCount(config), 3 * config.patchSize ** 2]), {
    lineage: "mae",
  });
  return p;
}

describe("sizes", () => {
  // Numbers of parameters of the encoder without a head, keys of its state dict.
  it.each([
    ["vit-small/16", 21_665_664, 150],
    ["vit-base/16", 85_798_656, 150],
    ["vit-large/16", 303_301_632, 294],
  ])("%s has %i numbers under %i names", (name, numbers, keys) => {
    const { variables } = declared(presets[name]!);
    expect(variables.size).toBe(keys);
    expect([...variables.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0)).toBe(numbers);
  });
  it.each(Object.keys(presets))("%s fits together", (name) => {
    expect(Math.sqrt(patchCount(presets[name]!)) % 1).toBe(0);
    expect(presets[name]!.width % 4).toBe(0);
  });
  it("that do not fit are refused", () => {
    expect(() => patchCount({ ...tiny, imageSize: 10 })).toThrow(
      new Error("the image size 10 is not a multiple of the patch size 4"),
    );
    expect(() => patchCount({ ...tiny, heads: 3 })).toThrow(
      new Error("the width 16 is not a multiple of the number of heads 3"),
    );
  });
});

it("has timm's names and PyTorch's shapes", () => {
  const { variables } = declared(tiny);
  const shapes = Object.fromEntries([...variables.values()].map(({ name, shape }) => [name, shape]));
  const block = (i: number) => ({
    [`blocks.${i}.norm1.weight`]: [16],
    [`blocks.${i}.norm1.bias`]: [16],
    [`blocks.${i}.attn.qkv.weight`]: [48, 16],
    [`blocks.${i}.attn.qkv.bias`]: [48],
    [`blocks.${i}.attn.proj.weight`]: [16, 16],
    [`blocks.${i}.attn.proj.bias`]: [16],
    [`blocks.${i}.norm2.weight`]: [16],
    [`blocks.${i}.norm2.bias`]: [16],
    [`blocks.${i}.mlp.fc1.weight`]: [64, 16],
    [`blocks.${i}.mlp.fc1.bias`]: [64],
    [`blocks.${i}.mlp.fc2.weight`]: [16, 64],
    [`blocks.${i}.mlp.fc2.bias`]: [16],
  });
  expect(shapes).toEqual({
    cls_token: [1, 1, 16],
    pos_embed: [1, 5, 16],
    "patch_embed.proj.weight": [16, 3, 4, 4],
    "patch_embed.proj.bias": [16],
    ...block(0),
    ...block(1),
    "norm.weight": [16],
    "norm.bias": [16],
  });
  expect(variables.get("pos_embed")!.role).toBe("constant");
});

it("patches are rows of (channel, row, column)", async () => {
  const images = draw("float32", [2, 3, 8, 8], randomFor("patches"));
  const got = await valueOf((x) => patches(x, 4), images);
  expect(got.shape).toEqual([2, 4, 48]);
  const expected = tabulate([2, 4, 48], (b, l, d) =>
    at(images, b, Math.floor(d / 16), 4 * (l >> 1) + (Math.floor(d / 4) % 4), 4 * (l & 1) + (d % 4)),
  );
  expect([...got.data]).toEqual([...expected]);
});

describe("encode", () => {
  const pixels = draw("float32", [2, 4, 48], randomFor("pixels"));
  const run = async (options: Omit<Parameters<typeof encode>[3], "lineage">, feeds = {}) => {
    const p = new Scope();
    const y = encode(p, tiny, inputFor("pixels", pixels), { lineage: "mae", ...options });
    return (await evaluate({ y }, { pixels, ...initialValues(p), ...feeds })).y;
  };

  it("embeds: projected patches plus their places, behind the class token, which has none", async () => {
    const p = new Scope();
    const y = encode(p, { ...tiny, depth: 0 }, inputFor("pixels", pixels), { lineage: "mae" });
    const values = initialValues(p);
    const embedded = tabulate([2, 5, 16], (b, n, d) => {
      if (n === 0) return at(values["cls_token"]!, 0, 0, d);
      let sum = at(values["patch_embed.proj.bias"]!, d) + at(values["pos_embed"]!, 0, n, d);
      for (let i = 0; i < 48; i++)
        sum += at(pixels, b, n - 1, i) * values["patch_embed.proj.weight"]!.data[48 * d + i]!;
      return sum;
    });
    for (let start = 0; start < embedded.length; start += 16) {
      const row = embedded.subarray(start, start + 16);
      const mean = row.reduce((a, b) => a + b) / 16;
      const deviation = Math.sqrt(row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 16 + 1e-6);
      for (const [i, x] of row.entries()) row[i] = (x - mean) / deviation;
    }
    expectAllclose((await evaluate({ y }, { pixels, ...values })).y.data, embedded, { absolute: 1e-5 });
  });
  it("puts a token in the place of hidden patches, which have their places still", async () => {
    const p = new Scope();
    const token = draw("float32", [1, 1, 16], randomFor("token"));
    const mask = tensor("bool", [2, 4, 1], Uint8Array.of(1, 0, 0, 1, 0, 1, 1, 1));
    const hidden = { mask: op.constant(mask), token: op.constant(token) };
    const [flat, x] = [{ ...tiny, depth: 0 }, inputFor("pixels", pixels)];
    const [y, all] = [encode(p, flat, x, { lineage: "mae", hidden }), encode(p, flat, x, { lineage: "mae" })];
    const values = initialValues(p);
    const got = await evaluate({ y, all }, { pixels, ...values });
    const expected = tabulate([2, 5, 16], (b, n, d) => {
      if (n === 0 || at(mask, b, n - 1, 0) === 0) return at(got.all, b, n, d);
      const row = tabulate([16], (i) => at(token, 0, 0, i) + at(values["pos_embed"]!, 0, n, i));
      const mean = row.reduce((sum, x) => sum + x) / 16;
      return (row[d]! - mean) / Math.sqrt(row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 16 + 1e-6);
    });
    expectAllclose(got.y.data, expected, { absolute: 1e-5 });
  });
  it("of the class token only is its row of the whole", async () => {
    const [cls, all] = [await run({ tokens: "cls" }), await run({})];
    expect(cls.shape).toEqual([2, 1, 16]);
    expect(all.shape).toEqual([2, 5, 16]);
    expectAllclose(
      cls.data,
      tabulate([2, 1, 16], (b, _, d) => at(all, b, 0, d)),
      { absolute: 1e-5 },
    );
  });
  it("of all patches kept in another order is the same, in that order", async () => {
    const order = integers([2, 4], [3, 1, 0, 2, 0, 1, 2, 3]);
    const [shuffled, all] = [await run({ keep: op.constant(order) }), await run({})];
    const expected = tabulate([2, 5, 16], (b, n, d) => at(all, b, n === 0 ? 0 : 1 + at(order, b, n - 1), d));
    expectAllclose(shuffled.data, expected, { absolute: 1e-5 });
  });
  it("draws MAE's and MoCo v3's weights differently", () => {
    const values = (lineage: "mae" | "mocov3") => {
      const p = new Scope();
      encode(p, tiny, inputFor("pixels", pixels), { lineage });
      const largest = (name: string) => Math.max(...initialValues(p)[name]!.data.map(Math.abs));
      return {
        qkv: largest("blocks.0.attn.qkv.weight"),
        cls: largest("cls_token"),
        bias: largest("patch_embed.proj.bias"),
      };
    };
    const [mae, moco] = [values("mae"), values("mocov3")];
    // U(±sqrt(6 / (16 + 48))) against U(±sqrt(6 / (16 + 16))); N(0, 0.02) against N(0, 1e-6)
    expect(mae.qkv).toBeCloseTo(Math.sqrt(6 / 64), 2);
    expect(moco.qkv).toBeCloseTo(Math.sqrt(6 / 32), 2);
    expect(mae.cls).toBeGreaterThan(0.01);
    expect(moco.cls).toBeLessThan(1e-5);
    expect(mae.bias).toBeGreaterThan(0);
    expect(moco.bias).toBe(0);
  });
});

it.each([
  ["cls_token", 0],
  ["pos_embed", 0],
  ["patch_embed.proj.weight", 0],
  ["blocks.0.norm1.weight", 1],
  ["blocks.11.mlp.fc2.bias", 12],
  ["base_encoder.blocks.10.attn.qkv.weight", 11],
  ["base_encoder.cls_token", 0],
  ["norm.weight", 13],
  ["base_encoder.head.0.weight", 13],
  ["predictor.3.weight", 13],
])("%s is in layer %i of 12 blocks", (name, layer) => {
  expect(layerOf(name, 12)).toBe(layer);
});

it("lets an observer see the tokens at every depth and the attention of every block", async () => {
  const p = new Scope();
  const seen: Record<string, Value> = {};
  const images = draw("float32", [2, 4, 48], randomFor("observed"));
  const output = encode(p, tiny, inputFor("pixels", images), {
    lineage: "mae",
    observe: {
      tokens: (depth, x) => void (seen[`tokens.${depth}`] = x),
      attention: (block, weights) => void (seen[`attention.${block}`] = weights),
    },
  });
  expect(Object.entries(seen).map(([name, { shape }]) => [name, shape])).toEqual([
    ["tokens.0", [2, 5, 16]],
    ["attention.0", [2, 2, 5, 5]],
    ["tokens.1", [2, 5, 16]],
    ["attention.1", [2, 2, 5, 5]],
    ["tokens.2", [2, 5, 16]],
  ]);
  const sums = op.reduceSum(seen["attention.1"]!, { axis: -1 });
  const normed = norm(p.at("norm"), seen["tokens.2"]!);
  const found = await evaluate({ sums, normed, output }, { ...initialValues(p), pixels: images });
  expectAllclose(found.sums.data, new Float32Array(20).fill(1));
  expectAllclose(found.normed.data, found.output.data);
});
