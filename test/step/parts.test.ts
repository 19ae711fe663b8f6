/** A batch that is encoded in parts within one graph: the same numbers, to rounding. */
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/backend.ts";
import { reachable, type Value } from "../../src/graph/value.ts";
import { cpu } from "../../src/backend/cpu.ts";
import { cachedPart } from "../../src/step/micro-batches.ts";
import { expectAllclose } from "../helpers.ts";
import { everyObjective, tinyStep } from "../objectives/tiny.ts";

describe("a batch encoded in parts", () => {
  it.each(everyObjective)("has loss, metrics and gradient of one piece: %s", async (_, objective, batch) => {
    const inParts = (count: number) => {
      const backend = { ...cpu(), cachedRows: (16 / count) * objective.tokens };
      expect(cachedPart(backend, objective, 16)).toBe(16 / count);
      return tinyStep(objective, 16, { backend });
    };
    const [whole, parts] = [await inParts(1), await inParts(4)];
    for (const step of [whole, parts]) await step.resetCopies();
    const [expected, found] = [await whole.gradients(batch), await parts.gradients(batch)];
    expectAllclose([found.loss], [expected.loss]);
    expect([...found.gradients.keys()]).toEqual([...expected.gradients.keys()]);
    for (const [name, { data }] of expected.gradients)
      expectAllclose(found.gradients.get(name)!.data, data, { absolute: 1e-6, relative: 1e-4 }, name);
    const at = { number: 1, rate: 1e-3, progress: 0 };
    const metrics = [await whole.run(batch, at), await parts.run(batch, at)].map((each) => Object.values(each.metrics));
    expectAllclose(metrics[1]!, metrics[0]!);
    await whole.release();
    await parts.release();
  });

  it("has at most eight of them, all of one size", () => {
    const objective = { tokens: 100 } as Parameters<typeof cachedPart>[1];
    const part = (batch: number, rows?: number) =>
      cachedPart({ ...cpu(), ...(rows === undefined ? {} : { cachedRows: rows }) }, objective, batch);
    expect(part(20)).toBe(20);
    expect(part(64)).toBe(16);
    expect(part(512)).toBe(64);
    expect(part(22)).toBe(11);
    expect(part(4, 1)).toBe(1);
  });
});

describe("copies of what is frozen", () => {
  it.each([16, 8])("are not computed twice, in micro-batches of %i", async (microBatch) => {
    const [, objective, batch] = everyObjective.find(([name]) => name === "mocov3")!;
    const rules = [{ match: "^base_encoder\\.(cls_token$|patch_embed\\.|blocks\\.0\\.)", frozen: true }];
    const { backend, counts } = counting();
    const steps = [];
    for (const equalCopies of [false, true]) {
      const step = await tinyStep(objective, 16, { microBatch, rules, backend, equalCopies });
      await step.resetCopies();
      const losses = [];
      for (let number = 1; number <= 3; number++)
        losses.push((await step.run(batch, { number, rate: 1e-3, progress: 0 })).loss);
      steps.push({ losses, weights: [...(await step.state.read()).values()].flatMap(({ data }) => [...data]) });
      await step.release();
    }
    expectAllclose(steps[1]!.losses, steps[0]!.losses);
    expectAllclose(steps[1]!.weights, steps[0]!.weights, { absolute: 1e-4 });
    expect(counts[0]! - counts[counts.length / 2]!).toBeGreaterThan(10); // of the graph that encodes
  });

  /** A CPU that counts the different nodes of what an encoder's graph has. */
  function counting() {
    const counts: number[] = [];
    const own = cpu();
    const compile: Backend["compile"] = (outputs) => {
      const names = new Map<string, number>();
      const ids = new Map<Value, number>();
      for (const value of reachable(Object.values(outputs))) {
        const attrs = value.op.name === "Constant" ? value.id : JSON.stringify(value.attrs);
        const key = `${value.op.name} ${attrs} ${value.inputs.map((each) => ids.get(each)).join()}`;
        if (!names.has(key)) names.set(key, names.size);
        ids.set(value, names.get(key)!);
      }
      if (Object.keys(outputs).some((name) => name.startsWith("encoded") || name.startsWith("metric")))
        counts.push(names.size);
      return own.compile(outputs);
    };
    return { backend: { ...own, compile }, counts };
  }
});
