import { describe, expect, it } from "vitest";
import { key } from "../../src/tensor/random.ts";
import { ones, uniform, variableKey } from "../../src/nn/init.ts";
import { Scope } from "../../src/nn/scope.ts";
import { createState } from "../../src/backend/state.ts";
import { floats, integers } from "../helpers.ts";

const p = new Scope();
p.parameter("a", [2, 3], uniform(1));
p.parameter("copy.a", [2, 3], ones);
p.constant("fixed", [2], ones);
p.parameter("frozen", [2], ones);
const variables = [...p.variables.values()];
const create = () => createState(variables, ({ name }) => name === "a", [{ source: "a", target: "copy.a" }], key(3));

describe("createState", () => {
  it("fills variables from their own keys", async () => {
    const { entries } = await create();
    expect([...entries.keys()]).toEqual(["a", "copy.a", "fixed", "frozen"]);
    expect([...entries.get("a")!.block.tensors["w"]!.data]).toEqual([...uniform(1)([2, 3], variableKey(key(3), "a"))]);
    expect([...entries.get("copy.a")!.block.tensors["w"]!.data]).toEqual(Array(6).fill(1));
  });
  it("has gradients and moments for the trained ones only", async () => {
    const state = await create();
    const { entries } = state;
    expect([...entries].map(([name, { trained }]) => [name, trained])).toEqual([
      ["a", true],
      ["copy.a", false],
      ["fixed", false],
      ["frozen", false],
    ]);
    expect([...state.tensors().keys()]).toEqual(["a", "copy.a", "fixed", "frozen", "optimizer.m.a", "optimizer.v.a"]);
    expect(Object.keys(entries.get("frozen")!.block.tensors)).toEqual(["w"]);
  });
  it("keeps a follower beside what it follows", async () => {
    const { entries } = await create();
    const { kernel, pointers, length, tensors } = entries.get("a")!.block;
    kernel.average(pointers["f"]!, pointers["w"]!, length, 0);
    expect([...entries.get("copy.a")!.block.tensors["w"]!.data]).toEqual([...tensors["w"]!.data]);
  });
});

describe("load", () => {
  it("copies what it knows and says what it used", async () => {
    const state = await create();
    const used = state.load(
      new Map([
        ["optimizer.v.a", floats([2, 3], [1, 2, 3, 4, 5, 6])],
        ["frozen", floats([2], [7, 8])],
        ["unknown", floats([1], [9])],
      ]),
    );
    expect(used.toSorted()).toEqual(["frozen", "optimizer.v.a"]);
    expect([...state.tensors().get("frozen")!.data]).toEqual([7, 8]);
    expect([...state.entries.get("a")!.block.tensors["v"]!.data]).toEqual([1, 2, 3, 4, 5, 6]);
  });
  it("refuses another shape or type", async () => {
    const state = await create();
    expect(() => state.load(new Map([["a", floats([3, 2], [0, 0, 0, 0, 0, 0])]]))).toThrow(
      new Error("a has the shape [2,3] here, but float32[3,2] in the checkpoint"),
    );
    expect(() => state.load(new Map([["frozen", integers([2], [0, 0])]]))).toThrow(
      new Error("frozen has the shape [2] here, but int64[2] in the checkpoint"),
    );
  });
});
