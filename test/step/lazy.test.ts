/** Lower blocks that are trained in every k-th step only. */
import { describe, expect, it } from "vitest";
import { reachable } from "../../src/graph/value.ts";
import type { Backend, Executable } from "../../src/backend/backend.ts";
import { cpu } from "../../src/backend/cpu.ts";
import { webgpu } from "../../src/backend/webgpu.ts";
import { layerOf } from "../../src/nn/vit.ts";
import { lower, type RateRule, stages } from "../../src/optim/groups.ts";
import type { Step, StepOptions } from "../../src/step/step.ts";
import { adapter } from "../backend/adapter.ts";
import { everyObjective, mocoBatch, model, snapshot, tinyMoco, tinyStep } from "../objectives/tiny.ts";

const every = 3;
/** Class token and the lower of two blocks at a tenth of the rate; the patches frozen, as in every graft. */
const graft: RateRule[] = [{ match: "patch_embed\\.", frozen: true }, ...stages(model.depth, [0.1, 1])];
const lazy: RateRule[] = [{ match: lower(1), every }, ...graft];
const frozen: RateRule[] = [{ match: lower(1), frozen: true }, ...graft];
const isLower = (name: string) => layerOf(name, model.depth) <= 1 && !/patch_embed|momentum|anchor/.test(name);
const ofName = (key: string) => key.replace(/^optimizer\.[mv]\./, "");

type Snapshot = Awaited<ReturnType<typeof snapshot>>;
const part = (values: Snapshot, wanted: (name: string) => boolean) =>
  Object.fromEntries([...values].filter(([key]) => wanted(ofName(key))));

describe.each(everyObjective)("%s", (_, objective, batch) => {
  const open = async (rules: RateRule[], options: Partial<StepOptions> = {}) => {
    const step = await tinyStep(objective, 16, { rules, ...options });
    await step.resetCopies();
    return step;
  };
  const at = (number: number) => ({ number, rate: 1e-3, progress: number / 10 });

  it.each([16, 4])(
    "leaves lower blocks alone in short steps, as if frozen, in micro-batches of %i",
    async (microBatch) => {
      const [one, other] = [await open(lazy, { microBatch }), await open(frozen, { microBatch })];
      const start = await snapshot(one);
      expect([one.every, other.every]).toEqual([every, 1]);
      for (let number = 1; number < every; number++) {
        const [{ gradientNorm, ...result }, expected] = [
          await one.run(batch, at(number)),
          await other.run(batch, at(number)),
        ];
        expect(result).toEqual({ loss: expected.loss, metrics: expected.metrics });
        expect(gradientNorm).toBe(expected.gradientNorm);
      }
      const [end, same] = [await snapshot(one), await snapshot(other)];
      expect(part(end, isLower)).toEqual(part(start, isLower));
      for (const [key, value] of same) expect(end.get(key), key).toEqual(value);
      expect(Object.keys(part(end, isLower)).some((key) => key.startsWith("optimizer.m."))).toBe(true);
      await Promise.all([one.release(), other.release()]);
    },
  );

  it.each([16, 4])("trains them in the others at k times the rate, in micro-batches of %i", async (microBatch) => {
    const [one, usual, fast] = [
      await open(lazy, { microBatch }),
      await open(graft, { microBatch }),
      await open(graft, { microBatch }),
    ];
    for (let number = 1; number < every; number++) await one.run(batch, at(number));
    const weights = await one.state.read({ moments: true });
    for (const step of [usual, fast]) await step.state.write(weights);
    const [result, expected] = [await one.run(batch, at(every)), await usual.run(batch, at(every))];
    expect(result).toEqual(expected);
    // their first update, as Adam counts
    await fast.run(batch, { number: 1, rate: every * 1e-3, progress: every / 10 });
    const [end, above, below] = [await snapshot(one), await snapshot(usual), await snapshot(fast)];
    const isUpper = (name: string) => one.state.trained.has(name) && !isLower(name);
    expect(part(end, isUpper)).toEqual(part(above, isUpper));
    expect(part(end, isLower)).toEqual(part(below, isLower));
    // who asks for the gradient gets all of it
    expect(new Set((await one.gradients(batch)).gradients.keys())).toEqual(new Set(usual.state.trained));
    await Promise.all([one.release(), usual.release(), fast.release()]);
  });
});

it("is clipped by the norm of what the step trains", async () => {
  const batch = mocoBatch(16);
  const [one, other] = [
    await tinyStep(tinyMoco, 16, { rules: lazy, clip: 1e-3 }),
    await tinyStep(tinyMoco, 16, { rules: frozen, clip: 1e-3 }),
  ];
  const at = { number: 1, rate: 1e-3, progress: 0 };
  expect(await one.run(batch, at)).toEqual(await other.run(batch, at));
  for (const [key, value] of await snapshot(other)) expect((await snapshot(one)).get(key), key).toEqual(value);
  await Promise.all([one.release(), other.release()]);
});

describe("the graph of a short step", () => {
  /** The graphs that a step is compiled to. */
  const graphs = async (rules: RateRule[], microBatch: number) => {
    const found: { gradients: string[]; nodes: number }[] = [];
    const own = cpu({ threads: 1 });
    const backend: Backend = {
      ...own,
      compile(outputs): Promise<Executable> {
        const gradients = Object.keys(outputs).filter((name) => name.startsWith("gradient:"));
        found.push({ gradients, nodes: reachable(Object.values(outputs)).length });
        return own.compile(outputs);
      },
    };
    const step: Step = await tinyStep(tinyMoco, 16, { rules, microBatch, backend });
    await step.release();
    return found;
  };
  const lowerOnes = (names: readonly string[]) => names.filter((name) => isLower(name.replace("gradient:", "")));

  it("ends above the lazy parameters", async () => {
    const [long, short, ...more] = await graphs(lazy, 16);
    expect(more).toEqual([]);
    expect(lowerOnes(long!.gradients).length).toBeGreaterThan(10);
    expect(lowerOnes(short!.gradients)).toEqual([]);
    expect(short!.gradients).toEqual(long!.gradients.filter((name) => !lowerOnes([name]).length));
    expect(short!.nodes).toBeLessThan(0.9 * long!.nodes);
    expect([short]).toEqual(await graphs(frozen, 16));
  });
  it("in micro-batches is one more, of the way back", async () => {
    const [encode, loss, long, short, ...more] = await graphs(lazy, 4);
    expect(more).toEqual([]);
    expect([encode, loss, long]).toEqual(await graphs(graft, 4));
    expect([encode, loss, short]).toEqual(await graphs(frozen, 4));
    expect(short!.nodes).toBeLessThan(0.9 * long!.nodes);
  });
  it("has nothing of the way back where all of the encoder is lazy", async () => {
    const all = [{ match: "^base_encoder\\.(blocks|cls_token|norm)", every }, ...graft];
    const [, , long, ...more] = await graphs(all, 4);
    expect(long!.gradients.length).toBeGreaterThan(10);
    expect(more).toEqual([]);
    const step = await tinyStep(tinyMoco, 16, { rules: all, microBatch: 4 });
    const { gradientNorm } = await step.run(mocoBatch(16), { number: 1, rate: 1e-3, progress: 0 });
    expect(gradientNorm).toBeGreaterThan(0);
    await step.release();
  });
  it("does not exist where nothing is lazy", async () => {
    expect(await graphs(graft, 16)).toHaveLength(1);
    expect(await graphs(graft, 4)).toHaveLength(3);
    expect(await graphs([{ match: "patch_embed", every }, ...graft], 16)).toHaveLength(1); // frozen
  });
});

it("one stage has one k", async () => {
  const rules = [
    { match: "blocks\\.0", every: 2 },
    { match: "cls_token", every: 4 },
  ];
  await expect(tinyStep(tinyMoco, 16, { rules })).rejects.toThrow(
    "the rules say every 2 and every 4 steps, but a stage has a graph with its lazy parameters and one without them",
  );
});

describe.skipIf(!(await adapter()))("on a WebGPU device", () => {
  it("comes to what the CPU comes to, long and short", async () => {
    const batch = mocoBatch(16);
    const options = {
      rules: lazy,
      microBatch: 8,
      optimizer: { betas: [0.9, 0.95], epsilon: 1e-4, weightDecay: 0.05 },
    } as const;
    const steps = [
      await tinyStep(tinyMoco, 16, options),
      await tinyStep(tinyMoco, 16, { ...options, backend: webgpu() }),
    ];
    const start = await snapshot(steps[1]!);
    for (let number = 1; number <= 4; number++) {
      for (const step of steps) await step.run(batch, { number, rate: 1e-3, progress: number / 4 });
      const [host, device] = [await snapshot(steps[0]!), await snapshot(steps[1]!)];
      if (number < every) expect(part(device, isLower)).toEqual(part(start, isLower));
      else expect(device.get("base_encoder.cls_token")).not.toEqual(start.get("base_encoder.cls_token"));
      let [apart, size] = [0, 0];
      // of the weights: the second moment of the class token is far larger than they are, and rounds as much
      for (const [key, value] of host)
        for (const [i, x] of key.startsWith("optimizer.") ? [] : value.entries()) {
          apart += (device.get(key)![i]! - x) ** 2;
          size += x ** 2;
        }
      expect(Math.sqrt(apart / size)).toBeLessThan(1e-6);
    }
    await Promise.all(steps.map((step) => step.release()));
  });
});
