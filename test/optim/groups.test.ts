import { describe, expect, it } from "vitest";
import { everyOf, stages, treatment } from "../../src/optim/groups.ts";

describe("stages", () => {
  // the paper's ViT-B: blocks 0-3, 4-7, 8-11
  const rules = stages(12, [1.5e-5, 2e-5, 1.5e-4]);
  const lowest = [
    "cls_token",
    "patch_embed.proj.weight",
    "patch_embed.proj.bias",
    "blocks.0.norm1.weight",
    "blocks.3.mlp.fc2.bias",
  ];
  const middle = ["blocks.4.attn.qkv.weight", "blocks.7.attn.proj.bias"];
  const highest = [
    "blocks.8.norm2.bias",
    "blocks.10.attn.qkv.weight",
    "blocks.11.mlp.fc1.weight",
    "norm.weight",
    "head.0.weight",
    "head.4.bias",
  ];
  it.each([
    ...lowest.map((name) => [name, 1.5e-5] as const),
    ...middle.map((name) => [name, 2e-5] as const),
    ...highest.map((name) => [name, 1.5e-4] as const),
  ])("%s learns at %d", (name, rate) => {
    expect(treatment(rules, name).rate).toBe(rate);
    expect(treatment(rules, `base_encoder.${name}`).rate).toBe(rate);
  });
  it("the predictor learns at the last rate", () => {
    expect(treatment(rules, "predictor.0.weight").rate).toBe(1.5e-4);
  });
  it("one rate is for all, as many rates as blocks are one each", () => {
    expect(treatment(stages(12, [3]), "base_encoder.blocks.7.norm1.bias").rate).toBe(3);
    const each = stages(
      12,
      Array.from({ length: 12 }, (_, i) => i),
    );
    for (let i = 0; i < 12; i++) expect(treatment(each, `blocks.${i}.norm1.bias`).rate).toBe(i);
  });
  it("wants equal groups", () => {
    expect(() => stages(12, [1, 2, 3, 4, 5])).toThrow(
      new Error("a depth of 12 blocks cannot be cut into 5 equal groups"),
    );
    expect(() => stages(12, [])).toThrow(new Error("a depth of 12 blocks cannot be cut into 0 equal groups"));
    expect(() => stages(2, [1, 1, 1])).toThrow(new Error("a depth of 2 blocks cannot be cut into 3 equal groups"));
  });
});

describe("treatment", () => {
  it("by default trains at rate 1 with decay", () => {
    expect(treatment([], "x")).toEqual({ rate: 1, decay: true, frozen: false });
  });
  it("takes each property from the first rule that matches and sets it", () => {
    const rules = [
      { match: "bias$", decay: false },
      { match: "^blocks\\.0", frozen: true, decay: true },
      { match: "^blocks", rate: 0.5, frozen: false },
      { match: "", rate: 2 },
    ];
    expect(treatment(rules, "blocks.0.fc.bias")).toEqual({ rate: 0.5, decay: false, frozen: true });
    expect(treatment(rules, "blocks.1.fc.weight")).toEqual({ rate: 0.5, decay: true, frozen: false });
    expect(treatment(rules, "norm.bias")).toEqual({ rate: 2, decay: false, frozen: false });
  });
  it("is lazy where a rule says so, and every rule says the same", () => {
    const rules = [
      { match: "^blocks\\.0", every: 4 },
      { match: "", rate: 2 },
    ];
    expect(treatment(rules, "blocks.0.fc.bias")).toEqual({ rate: 2, decay: true, frozen: false, every: 4 });
    expect(treatment(rules, "blocks.1.fc.bias")).toEqual({ rate: 2, decay: true, frozen: false });
    expect([everyOf([]), everyOf(rules), everyOf([...rules, { match: "cls_token", every: 4 }])]).toEqual([1, 4, 4]);
    expect(() => everyOf([...rules, { match: "cls_token", every: 2 }])).toThrow(
      "the rules say every 4 and every 2 steps",
    );
  });
});
