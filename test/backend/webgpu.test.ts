import { beforeAll, describe, expect, it } from "vitest";
import { key } from "../../src/tensor/random.ts";
import { type Tensor } from "../../src/tensor/tensor.ts";
import * as op from "../../src/graph/ops/index.ts";
import { ones, uniform, variableKey } from "../../src/nn/init.ts";
import { Scope } from "../../src/nn/scope.ts";
import type { Backend, State } from "../../src/backend/backend.ts";
import { cpu } from "../../src/backend/cpu.ts";
import { webgpu } from "../../src/backend/webgpu.ts";
import { expectAllclose, floats, randomFor } from "../helpers.ts";
import { adapter } from "./adapter.ts";

const p = new Scope();
p.parameter("a", [4, 6], uniform(1));
p.parameter("b", [7], uniform(1));
p.parameter("copy.a", [4, 6], ones);
p.constant("fixed", [24], ones);
const variables = [...p.variables.values()];
const pairs = [{ source: "a", target: "copy.a" }];
const optimizer = { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1 } as const;
const treatments = new Map([
  ["a", { rate: 0.5, decay: true, frozen: false }],
  ["b", { rate: 1, decay: false, frozen: false }],
]);

async function create(backend: Backend): Promise<State> {
  const state = await backend.allocate({ variables, trained: new Set(["a", "b"]), averaged: pairs, optimizer });
  const drawn = variables.map(
    ({ name, shape, init }) => [name, floats(shape, init(shape, variableKey(key(1), name)))] as const,
  );
  await state.write(new Map<string, Tensor>(drawn));
  return state;
}

describe.skipIf(!(await adapter()))("a state on a WebGPU device", () => {
  let [host, device]: State[] = [];
  beforeAll(async () => {
    [host, device] = [await create(cpu()), await create(webgpu())];
  });
  const same = async (absolute = 1e-6) => {
    const [expected, found] = [await host!.read({ moments: true }), await device!.read({ moments: true })];
    expect([...found.keys()]).toEqual([...expected.keys()]);
    for (const [name, { data, shape }] of expected) {
      expect(found.get(name)!.shape, name).toEqual(shape);
      expectAllclose(found.get(name)!.data, data, { absolute }, name);
    }
  };

  it("holds what is written, to the bit", () => same(0));
  it("has gradients that are read, written, measured and cleared", async () => {
    const random = randomFor("webgpu");
    const gradients = new Map(
      (["a", "b"] as const).map((name) => {
        const { shape } = host!.variables.get(name)!;
        return [
          name,
          floats(
            shape,
            Float32Array.from(uniform(1)(shape, variableKey(key(2), name)), (x) => x + random.uniform()),
          ),
        ];
      }),
    );
    for (const state of [host!, device!]) {
      await state.writeGradients(gradients);
      expect([...(await state.readGradients()).get("b")!.data]).toEqual([...gradients.get("b")!.data]);
    }
    expect(await device!.gradientNorm()).toBeCloseTo(await host!.gradientNorm(), 4);
    expect(await device!.gradientNorm()).toBeGreaterThan(1);
    await device!.zeroGradients();
    expect(await device!.gradientNorm()).toBe(0);
    await device!.writeGradients(gradients);
  });
  it("moves as on the CPU", async () => {
    for (let step = 1; step <= 3; step++) {
      const values = await host!.read();
      const gradients = new Map(
        ["a", "b"].map((name) => {
          const { shape, data } = values.get(name)!;
          return [name, floats(shape, data.slice())] as const;
        }),
      );
      for (const state of [host!, device!]) {
        await state.writeGradients(gradients);
        await state.update({ step, rate: 0.01, scale: 0.5, treatments });
        expect(await state.gradientNorm()).toBe(0);
        await state.average(pairs, 0.9);
      }
    }
    await same();
    for (const state of [host!, device!]) await state.copy(pairs);
    const values = await device!.read();
    expect(values.get("copy.a")).toEqual(values.get("a"));
  });
  it("shows a gradient that is not finite", async () => {
    const gradients = await device!.readGradients();
    await device!.writeGradients(new Map([...gradients, ["b", floats([7], Float32Array.of(0, 0, NaN, 0, 0, 0, 0))]]));
    expect(await device!.gradientNorm()).toBeNaN();
    await device!.zeroGradients();
    expect(await device!.gradientNorm()).toBe(0);
  });
  it("is bound in another shape, read and written in place of itself", async () => {
    const backend = webgpu();
    const x = op.input("x", "float32", [24]);
    const program = await backend.compile({ next: op.mul(x, 2), total: op.reduceSum(x) }, ["next"]);
    const handle = device!.handle("a", "gradient", [24]);
    const start = floats(
      [4, 6],
      Float32Array.from({ length: 24 }, (_, i) => i),
    );
    await device!.writeGradients(new Map([["a", start]]));
    program.bind({ inputs: { x: handle }, outputs: { next: handle } });
    const totals = [];
    for (let i = 0; i < 3; i++) totals.push((await program.run())["total"]!.data[0]);
    expect(totals).toEqual([276, 552, 1104]);
    expect([...(await device!.readGradients()).get("a")!.data]).toEqual([...start.data].map((v) => 8 * v));
    await program.release();
    await device!.release();
  });
});
