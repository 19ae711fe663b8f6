import { expect, it } from "vitest";
import * as op from "../../src/graph/ops/index.ts";
import { zeros } from "../../src/nn/init.ts";
import { Scope } from "../../src/nn/scope.ts";

it("names variables by their path, in order of declaration", () => {
  const p = new Scope();
  const block = p.at("blocks.0");
  block.at("attn").parameter("weight", [2, 2], zeros);
  p.constant("pos_embed", [1, 5, 4], zeros);
  block.buffer("count", [1], zeros);
  expect([...p.variables.values()].map(({ name, role, shape }) => [name, role, shape])).toEqual([
    ["blocks.0.attn.weight", "parameter", [2, 2]],
    ["pos_embed", "constant", [1, 5, 4]],
    ["blocks.0.count", "buffer", [1]],
  ]);
  expect(p.variables.get("pos_embed")!.value.attrs).toMatchObject({ name: "pos_embed", dtype: "float32" });
});

it("gives the same Value for the same name", () => {
  const p = new Scope();
  const first = p.at("a").parameter("w", [2], zeros);
  expect(p.at("a").parameter("w", [2], zeros)).toBe(first);
  expect(p.variables.size).toBe(1);
});

it("refuses one name with two shapes", () => {
  const p = new Scope();
  p.at("a").parameter("w", [2], zeros);
  expect(() => p.at("a").parameter("w", [3], zeros)).toThrow(new Error("a.w is used as [2] and as [3]"));
});

it("refuses one name in two roles", () => {
  const p = new Scope();
  p.parameter("w", [2], zeros);
  expect(() => p.constant("w", [2], zeros)).toThrow(new Error("w is used as parameter and as constant"));
});

it("reads a buffer as it was last updated", () => {
  const p = new Scope("bn.");
  const before = p.buffer("mean", [2], zeros);
  const after = op.mul(before, 0.9);
  p.update("mean", after);
  expect(p.buffer("mean", [2], zeros)).toBe(after);
  expect([...p.updates]).toEqual([["bn.mean", after]]);
});
