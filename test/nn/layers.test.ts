import { describe, expect, it } from "vitest";
import { tensor } from "../../src/tensor/tensor.ts";
import { grad } from "../../src/graph/grad.ts";
import * as op from "../../src/graph/ops/index.ts";
import { print, type Value } from "../../src/graph/value.ts";
import { uniform } from "../../src/nn/init.ts";
import { attention, batchNorm, block, linear, mlp, norm } from "../../src/nn/layers.ts";
import { Scope } from "../../src/nn/scope.ts";
import { at, draw, evaluate, expectAllclose, initialValues, inputFor, randomFor, tabulate } from "../helpers.ts";

const random = randomFor("layers");
const x = draw("float32", [2, 5, 8], random);
const input = inputFor("x", x);

/** Initial values with everything away from zero, so that no parameter is idle. */
function filled(p: Scope) {
  const values = initialValues(p);
  for (const value of Object.values(values))
    for (let i = 0; i < value.data.length; i++) value.data[i]! += 0.2 * random.normal();
  return values;
}

describe("linear", () => {
  it("is x W' + b with PyTorch's layout", async () => {
    const p = new Scope();
    const y = linear(p.at("fc"), input, 3, { biasInit: uniform(1) });
    expect([...p.variables.values()].map(({ name, shape }) => [name, shape])).toEqual([
      ["fc.weight", [3, 8]],
      ["fc.bias", [3]],
    ]);
    const values = filled(p);
    const got = await evaluate({ y }, { x, ...values });
    const expected = tabulate([2, 5, 3], (b, n, o) => {
      let sum = at(values["fc.bias"]!, o);
      for (let d = 0; d < 8; d++) sum += at(x, b, n, d) * at(values["fc.weight"]!, o, d);
      return sum;
    });
    expectAllclose(got.y.data, expected);
  });
  it("without bias declares none", () => {
    const p = new Scope();
    linear(p, input, 3, { bias: false });
    expect([...p.variables.keys()]).toEqual(["weight"]);
  });
});

it("linear with a fixed bias adds it and has no gradient there", async () => {
  const p = new Scope();
  const [y, reference] = [linear(p, input, 3, { fixedBias: true }), linear(p, input, 3)];
  const values = filled(p);
  const got = await evaluate({ y, reference }, { x, ...values });
  expect(got.y.data).toEqual(got.reference.data);
  const gradients = grad(
    op.reduceSum(y),
    ["weight", "bias"].map((name) => p.variables.get(name)!.value),
  );
  expect(gradients[0]).toBeDefined();
  expect(gradients[1]).toBeUndefined();
});
it("norm with a fixed bias has no gradient there", () => {
  const p = new Scope();
  const loss = op.reduceSum(norm(p, input, { fixedBias: true }));
  const [dw, db] = grad(loss, [p.variables.get("weight")!.value, p.variables.get("bias")!.value]);
  expect([dw?.shape, db]).toEqual([[8], undefined]);
});

it("mlp and block have timm's names", () => {
  const p = new Scope();
  mlp(p.at("mlp"), input, 16);
  expect([...p.variables.keys()].toSorted()).toEqual([
    "mlp.fc1.bias",
    "mlp.fc1.weight",
    "mlp.fc2.bias",
    "mlp.fc2.weight",
  ]);
  const q = new Scope();
  block(q.at("blocks.0"), input, { heads: 2 });
  const names = ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"].flatMap((name) => [
    `blocks.0.${name}.weight`,
    `blocks.0.${name}.bias`,
  ]);
  expect([...q.variables.keys()].toSorted()).toEqual(names.toSorted());
  expect(q.variables.get("blocks.0.mlp.fc1.weight")!.shape).toEqual([32, 8]);
});

describe("attention", () => {
  const heads = 2;

  it("is the plain formula", async () => {
    const p = new Scope();
    const y = attention(p, input, { heads });
    const values = filled(p);
    values["qkv.bias"]!.data.fill(0, 8, 16); // the keys' bias, of which the result does not depend
    const got = await evaluate({ y }, { x, ...values });
    // rows of qkv: all of q, all of k, all of v, each head by head
    const project = (part: number, b: number, n: number, h: number, c: number) => {
      const row = part * 8 + h * 4 + c;
      let sum = at(values["qkv.bias"]!, row);
      for (let d = 0; d < 8; d++) sum += at(x, b, n, d) * at(values["qkv.weight"]!, row, d);
      return sum;
    };
    const channels = [0, 1, 2, 3];
    const mixed = tensor(
      "float64",
      [2, 5, 8],
      tabulate([2, 5, 8], (b, n, d) => {
        const [h, c] = [d >> 2, d & 3];
        const scores = [0, 1, 2, 3, 4].map((m) =>
          Math.exp(channels.reduce((sum, e) => sum + project(0, b, n, h, e) * project(1, b, m, h, e), 0) / 2),
        );
        const total = scores.reduce((a, s) => a + s);
        return scores.reduce((sum, s, m) => sum + (s / total) * project(2, b, m, h, c), 0);
      }),
    );
    const expected = tabulate([2, 5, 8], (b, n, o) => {
      let sum = at(values["proj.bias"]!, o);
      for (let d = 0; d < 8; d++) sum += at(mixed, b, n, d) * at(values["proj.weight"]!, o, d);
      return sum;
    });
    expectAllclose(got.y.data, expected, { absolute: 1e-5 });
  });

  it("ignores the bias of the keys", async () => {
    const p = new Scope();
    const y = attention(p, input, { heads });
    const values = filled(p);
    const [db] = grad(op.reduceSum(op.exp(y)), [p.variables.get("qkv.bias")!.value]);
    const before = await evaluate({ y, db: db! }, { x, ...values });
    for (let i = 8; i < 16; i++) values["qkv.bias"]!.data[i]! += 1;
    const after = await evaluate({ y, db: db! }, { x, ...values });
    expect(after.y.data).toEqual(before.y.data);
    expect([...before.db.data.subarray(8, 16)].every((g) => Number(g) === 0)).toBe(true);
  });

  it.each([1, 3])("with %i queries is the first rows of the whole, gradients included", async (queries) => {
    const run = async (part: (p: Scope) => Value) => {
      const p = new Scope();
      const y = part(p);
      const targets = [...p.variables.values()].map(({ value }) => value);
      const gradients = grad(op.reduceSum(op.mul(y, op.exp(y))), [...targets, input]);
      const names = [...p.variables.keys(), "x"];
      const outputs = Object.fromEntries(gradients.map((gradient, i) => [`gradient.${names[i]}`, gradient!]));
      return evaluate<string>({ y, ...outputs }, { x, ...initialValues(p) });
    };
    for (const layer of [attention, block]) {
      const few = await run((p) => layer(p, input, { heads, queries }));
      const whole = await run((p) => op.slice(layer(p, input, { heads }), 1, 0, queries));
      expect(Object.keys(few).toSorted()).toEqual(Object.keys(whole).toSorted());
      for (const [name, { data }] of Object.entries(whole))
        expectAllclose(few[name]!.data, data, { absolute: 2e-5 }, name);
    }
  });
});

describe("batchNorm", () => {
  const views = draw("float32", [2, 6, 3], random, () => 2 + 3 * random.normal());
  const each = (view: number, channel: number) => [0, 1, 2, 3, 4, 5].map((n) => at(views, view, n, channel));
  const mean = (numbers: number[]) => numbers.reduce((a, b) => a + b) / numbers.length;
  const squares = (numbers: number[]) => numbers.reduce((sum, n) => sum + (n - mean(numbers)) ** 2, 0);

  it("normalises each view by its own statistics and tracks them in order", async () => {
    const p = new Scope();
    const y = batchNorm(p.at("bn"), inputFor("views", views));
    const values = filled(p);
    const updates = Object.fromEntries([...p.updates].map(([name, value]) => [`update.${name}`, value]));
    const got = await evaluate<string>({ y, ...updates }, { views, ...values });

    const expected = tabulate([2, 6, 3], (v, n, c) => {
      const normalized = (at(views, v, n, c) - mean(each(v, c))) / Math.sqrt(squares(each(v, c)) / 6 + 1e-5);
      return normalized * at(values["bn.weight"]!, c) + at(values["bn.bias"]!, c);
    });
    expectAllclose(got["y"]!.data, expected, { absolute: 1e-5 });
    const tracked = (name: string, statistic: (numbers: number[]) => number) =>
      tabulate([3], (c) =>
        [0, 1].reduce((running, v) => 0.9 * running + 0.1 * statistic(each(v, c)), at(values[`bn.${name}`]!, c)),
      );
    expectAllclose(got["update.bn.running_mean"]!.data, tracked("running_mean", mean), { absolute: 1e-5 });
    expectAllclose(
      got["update.bn.running_var"]!.data,
      tracked("running_var", (list) => squares(list) / 5),
      { absolute: 1e-5 },
    );
  });
  it("starts from mean 0 and variance 1, with weight 1 and bias 0", () => {
    const p = new Scope();
    batchNorm(p, inputFor("views", views));
    const starts = Object.entries(initialValues(p)).map(([name, { data }]) => [name, [...data]]);
    expect(Object.fromEntries(starts)).toEqual({
      running_mean: [0, 0, 0],
      running_var: [1, 1, 1],
      weight: [1, 1, 1],
      bias: [0, 0, 0],
    });
  });
  it("without affine has no parameters", () => {
    const p = new Scope();
    batchNorm(p, inputFor("views", views), { affine: false });
    expect([...p.variables.values()].every(({ role }) => role === "buffer")).toBe(true);
  });
  it("tracks without a gradient", () => {
    const p = new Scope();
    const value = inputFor("views", views);
    batchNorm(p, value);
    expect(grad(op.reduceSum(p.updates.get("running_var")!), [value])).toEqual([undefined]);
    expect(print([p.updates.get("running_mean")!])).toContain("running_mean");
  });
  it("wants two samples", () => {
    expect(() => batchNorm(new Scope(), op.input("x", "float32", [2, 1, 3]))).toThrow(
      new Error("batch normalisation needs two samples or more, but the batch has 1"),
    );
  });
});
