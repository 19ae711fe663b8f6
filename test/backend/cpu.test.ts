import { describe, expect, it } from "vitest";
import { ones, uniform } from "../../src/nn/init.ts";
import { Scope } from "../../src/nn/scope.ts";
import { cpu } from "../../src/backend/cpu.ts";
import { expectAllclose, floats, integers } from "../helpers.ts";

const p = new Scope();
p.parameter("a", [2, 3], uniform(1));
p.parameter("copy.a", [2, 3], ones);
p.constant("fixed", [2], ones);
p.constant("copy.fixed", [2], ones);
p.parameter("frozen", [2], ones);
const variables = [...p.variables.values()];
const pairs = [
  { source: "a", target: "copy.a" },
  { source: "fixed", target: "copy.fixed" },
];
const optimizer = { betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.1 } as const;
const create = () => cpu().allocate({ variables, trained: new Set(["a"]), averaged: pairs, optimizer });
const six = floats([2, 3], [1, 2, 3, 4, 5, 6]);

describe("a state", () => {
  it("is zero, in order of declaration", async () => {
    const state = await create();
    expect([...state.variables.keys()]).toEqual(["a", "copy.a", "fixed", "copy.fixed", "frozen"]);
    for (const { data } of (await state.read({ moments: true })).values())
      expect(data.every((x) => x === 0)).toBe(true);
  });
  it("has gradients and moments for the trained ones only", async () => {
    const state = await create();
    const names = [...state.variables.keys()];
    expect([...(await state.read()).keys()]).toEqual(names);
    const all = await state.read({ moments: true });
    expect([...all.keys()]).toEqual([...names, "optimizer.m.a", "optimizer.v.a"]);
    expect([...(await state.readGradients()).keys()]).toEqual(["a"]);
    expect(() => state.handle("frozen", "gradient")).toThrow("the state has no gradient of frozen");
  });
  it("gives handles to the same numbers, in another shape where it is asked for", async () => {
    const state = await create();
    await state.write(new Map([["a", six]]));
    expect(state.handle("a")).toMatchObject({ shape: [2, 3], data: six.data });
    expect(state.handle("a", "value", [6])).toMatchObject({ shape: [6], data: six.data });
    expect(() => state.handle("a", "value", [5])).toThrow("shape [5] needs 5 elements, but the data has 6");
  });
});

describe("write", () => {
  it("copies what it knows and says what it used", async () => {
    const state = await create();
    const used = await state.write(
      new Map([
        ["optimizer.v.a", six],
        ["frozen", floats([2], [7, 8])],
        ["unknown", floats([1], [9])],
      ]),
    );
    expect(used.toSorted()).toEqual(["frozen", "optimizer.v.a"]);
    const values = await state.read({ moments: true });
    expect([...values.get("frozen")!.data]).toEqual([7, 8]);
    expect([...values.get("optimizer.v.a")!.data]).toEqual([1, 2, 3, 4, 5, 6]);
  });
  it("refuses another shape or type", async () => {
    const state = await create();
    await expect(state.write(new Map([["a", floats([3, 2], [0, 0, 0, 0, 0, 0])]]))).rejects.toThrow(
      new Error("a has the shape [2,3] here, but float32[3,2] in the checkpoint"),
    );
    await expect(state.write(new Map([["frozen", integers([2], [0, 0])]]))).rejects.toThrow(
      new Error("frozen has the shape [2] here, but int64[2] in the checkpoint"),
    );
  });
});

describe("gradients", () => {
  it("are read, written, measured and cleared", async () => {
    const state = await create();
    await state.writeGradients(new Map([["a", six]]));
    expect([...(await state.readGradients()).get("a")!.data]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await state.gradientNorm()).toBeCloseTo(Math.sqrt(91), 5);
    await state.zeroGradients();
    expect(await state.gradientNorm()).toBe(0);
  });
  it("move what is trained, by the rate of its treatment, and are gone then", async () => {
    const state = await create();
    await state.write(new Map([["a", six]]));
    await state.writeGradients(new Map([["a", six]]));
    const treatments = new Map([["a", { rate: 0.5, decay: false, frozen: false }]]);
    await state.update({ step: 1, rate: 0.1, scale: 1, treatments });
    // Adam's first step is the rate, whatever the gradient
    expectAllclose(
      (await state.read()).get("a")!.data,
      six.data.map((x) => x - 0.05),
      { absolute: 1e-6 },
    );
    expect(await state.gradientNorm()).toBe(0);
  });
  it("of others than those that are asked for stay as they are", async () => {
    const state = await create();
    await state.writeGradients(new Map([["a", six]]));
    const before = (await state.read({ moments: true })).get("a")!.data.slice();
    const treatments = new Map([["a", { rate: 0.5, decay: false, frozen: false }]]);
    await state.update({ step: 1, rate: 0.1, scale: 1, treatments, names: new Set() });
    expect((await state.read()).get("a")!.data).toEqual(before);
    expect(await state.gradientNorm()).toBeGreaterThan(0);
    expect([...(await state.readGradients(new Set())).keys()]).toEqual([]);
    expect([...(await state.readGradients(new Set(["a"]))).keys()]).toEqual(["a"]);
  });
});

describe("copies", () => {
  it("are made equal, and averaged", async () => {
    const state = await create();
    await state.write(new Map([["a", six]]));
    await state.average(pairs, 0.75);
    expectAllclose(
      (await state.read()).get("copy.a")!.data,
      six.data.map((x) => x / 4),
    );
    await state.copy(pairs);
    expect([...(await state.read()).get("copy.a")!.data]).toEqual([...six.data]);
  });
  it("of tables stay as they are to the bit where they are equal", async () => {
    const state = await create();
    const table = floats([2], [0.1, 0.7]);
    await state.write(new Map([["fixed", table]]));
    await state.copy(pairs);
    for (let i = 0; i < 100; i++) await state.average(pairs, 0.99 + i / 10_000);
    expect([...(await state.read()).get("copy.fixed")!.data]).toEqual([...table.data]);
    await state.write(new Map([["copy.fixed", floats([2], [1, 1])]]));
    await state.average(pairs, 0.5);
    expectAllclose((await state.read()).get("copy.fixed")!.data, [0.55, 0.85], { absolute: 1e-6 });
  });
});
