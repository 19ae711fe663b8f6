import { describe, expect, it } from "vitest";
import * as op from "../../src/graph/ops/index.ts";
import { grad } from "../../src/graph/grad.ts";
import { infoNCE, l2Normalize } from "../../src/nn/losses.ts";
import { Scope } from "../../src/nn/scope.ts";
import { mocov3 } from "../../src/objectives/mocov3.ts";
import { draw, evaluate, expectAllclose, floats, initialValues, randomFor, valueOf } from "../helpers.ts";
import { mocoBatch, model, snapshot, tinyMoco, tinyStep } from "./tiny.ts";

const random = randomFor("mocov3");
const temperature = 0.2;

describe("loss", () => {
  it("of random features is about 2 T ln B a direction", async () => {
    const [q, k] = [draw("float32", [64, 1024], random), draw("float32", [64, 1024], random)];
    const nce = await valueOf((x, y) => infoNCE(l2Normalize(x), l2Normalize(y), temperature), q, k);
    const reference = 2 * temperature * Math.log(64);
    expect(Math.abs(2 * temperature * Number(nce.data[0]) - reference)).toBeLessThan(0.02 * reference);
  });
  it("of an untrained model is about twice that", async () => {
    const objective = mocov3(model, { mlpDim: 128, dim: 256, temperature, momentum: 0.99 });
    const step = await tinyStep(objective, 16);
    const { loss } = await step.gradients(mocoBatch(16));
    await step.release();
    const reference = 4 * temperature * Math.log(16);
    expect(Math.abs(loss - reference)).toBeLessThan(0.1 * reference);
  });
});

describe("gradients", () => {
  const p = new Scope();
  const image = (name: string) => op.input(name, "float32", [4, 3, 16, 16]);
  const { loss } = tinyMoco.loss(p, tinyMoco.encode(p, { view1: image("view1"), view2: image("view2") }, {}), {});
  const without = (() => {
    const parameters = [...p.variables.values()].filter(({ role }) => role === "parameter");
    const gradients = grad(
      loss,
      parameters.map(({ value }) => value),
    );
    return parameters.filter((_, i) => gradients[i] === undefined).map(({ name }) => name);
  })();

  it("reach nothing of the momentum encoder", () => {
    const keys = [...p.variables.values()].filter(
      ({ name, role }) => role === "parameter" && name.startsWith("momentum_encoder."),
    );
    expect(keys.length).toBeGreaterThan(20);
    for (const { name } of keys) expect(without).toContain(name);
  });
  it("reach all of the student but the final norm's bias, whose gradient is zero", () => {
    expect(without.filter((name) => !name.startsWith("momentum_encoder."))).toEqual(["base_encoder.norm.bias"]);
  });
  it("are the same for exchanged views", async () => {
    const gradient = grad(loss, [p.variables.get("base_encoder.blocks.0.attn.qkv.weight")!.value])[0]!;
    const { view1, view2 } = mocoBatch(4);
    const needed = Object.entries(initialValues(p)).filter(([name]) => p.variables.get(name)!.role !== "buffer");
    const values = Object.fromEntries(needed);
    const one = await evaluate({ loss, gradient }, { ...values, view1: view1!, view2: view2! });
    const other = await evaluate({ loss, gradient }, { ...values, view1: view2!, view2: view1! });
    expectAllclose(other.loss.data, one.loss.data);
    expectAllclose(other.gradient.data, one.gradient.data, { absolute: 1e-5, relative: 1e-3 });
  });
});

describe("momentum encoder", () => {
  it("moves before the step by its momentum, all but running statistics", async () => {
    const step = await tinyStep(tinyMoco, 8);
    const start = await snapshot(step);
    await step.run(mocoBatch(8), { number: 1, rate: 0.01, progress: 0.5 });
    const end = await snapshot(step);
    const momentum = 0.995;
    let parameters = 0;
    for (const { name, role } of step.state.variables.values()) {
      if (!name.startsWith("momentum_encoder.")) continue;
      expect(step.state.trained.has(name)).toBe(false);
      if (role === "buffer") continue;
      parameters++;
      const source = start.get(name.replace("momentum_encoder.", "base_encoder."))!;
      const expected = start.get(name)!.map((x, i) => momentum * x + (1 - momentum) * source[i]!);
      expectAllclose(end.get(name)!, expected, { absolute: 1e-7 }, name);
    }
    expect(parameters).toBeGreaterThan(20);
    // running statistics are the momentum encoder's own
    const mean = "momentum_encoder.head.1.running_mean";
    expect(end.get(mean)).not.toEqual(start.get(mean));
    await step.release();
  });
  it("has positions that follow its source's, as every parameter does in PyTorch", async () => {
    const step = await tinyStep(tinyMoco, 8);
    const name = "momentum_encoder.pos_embed";
    const table = (await snapshot(step)).get(name)!;
    await step.moveCopies(0);
    expect((await snapshot(step)).get(name)).toEqual(table); // equal ones stay as they are, to the bit
    const own = table.map((x) => x + 1);
    await step.state.write(new Map([[name, floats(step.state.variables.get(name)!.shape, own)]]));
    await step.moveCopies(0);
    const expected = own.map((x, i) => 0.99 * x + 0.01 * table[i]!);
    expectAllclose((await snapshot(step)).get(name)!, expected, { absolute: 1e-6 });
    await step.release();
  });
  it("is a copy of the student when a stage begins", async () => {
    const step = await tinyStep(tinyMoco, 8);
    await step.resetCopies();
    for (const [name, data] of await snapshot(step))
      if (name.startsWith("momentum_encoder.")) {
        const source = name.replace("momentum_encoder.", "base_encoder.");
        expect(data, name).toEqual((await step.state.read()).get(source)!.data);
      }
    await step.release();
  });
});

it("has the state-dict keys of MoCo v3's checkpoints", () => {
  const p = new Scope();
  const image = (name: string) => op.input(name, "float32", [4, 3, 16, 16]);
  tinyMoco.loss(p, tinyMoco.encode(p, { view1: image("view1"), view2: image("view2") }, {}), {});
  const heads = [...p.variables.values()].filter(({ name }) => /^(base_encoder\.head|predictor)\./.test(name));
  const norm = (name: string, n: number, affine = true) => ({
    [`${name}.running_mean`]: [n],
    [`${name}.running_var`]: [n],
    ...(affine ? { [`${name}.weight`]: [n], [`${name}.bias`]: [n] } : {}),
  });
  expect(Object.fromEntries(heads.map(({ name, shape }) => [name, shape]))).toEqual({
    "base_encoder.head.0.weight": [32, 32],
    ...norm("base_encoder.head.1", 32),
    "base_encoder.head.3.weight": [32, 32],
    ...norm("base_encoder.head.4", 32),
    "base_encoder.head.6.weight": [16, 32],
    ...norm("base_encoder.head.7", 16, false),
    "predictor.0.weight": [32, 16],
    ...norm("predictor.1", 32),
    "predictor.3.weight": [16, 32],
    ...norm("predictor.4", 16, false),
  });
});
