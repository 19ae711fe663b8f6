import { describe, expect, it } from "vitest";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectAllclose, floats } from "../helpers.ts";
import { everyObjective, mocoBatch, snapshot, tinyMoco, tinyStep } from "./tiny.ts";

describe.each(everyObjective)("%s", (_, objective, batch) => {
  const train = async (steps: number, options = {}) => {
    const step = await tinyStep(objective, 16, options);
    await step.resetCopies();
    const start = await snapshot(step);
    const losses: number[] = [];
    for (let number = 1; number <= steps; number++)
      losses.push((await step.run(batch, { number, rate: 2e-3, progress: number / steps })).loss);
    const end = await snapshot(step);
    await step.release();
    return { losses, start, end, step };
  };

  it("learns in ten steps", async () => {
    const { losses } = await train(10);
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(losses.at(-1)!).toBeLessThan(0.95 * losses[0]!);
  });
  it("repeats to the bit", async () => {
    const [first, second] = [await train(3), await train(3)];
    expect(second.losses).toEqual(first.losses);
    expect(second.end).toEqual(first.end);
  });
  it("comes to the same in micro-batches", async () => {
    const [whole, parts] = [await train(3), await train(3, { microBatch: 4 })];
    expectAllclose(parts.losses, whole.losses, { absolute: 1e-5 });
    for (const [name, value] of whole.end)
      if (!name.startsWith("optimizer.")) expectAllclose(parts.end.get(name)!, value, { absolute: 1e-5 }, name);
    expect(parts.step.microBatches).toEqual({ size: 4, count: 4, passes: objective.coupled ? 2 : 1 });
  });
  it("asks for its micro-batches in order, and gets what it gets from the whole batch", async () => {
    const step = await tinyStep(objective, 16, { microBatch: 4 });
    const whole = await step.gradients(batch);
    const asked: number[] = [];
    const slice = async (i: number) => {
      asked.push(i);
      const rows = (field: Tensor) => {
        const size = field.data.length / 4;
        const part = field.data.subarray((i % 4) * size, ((i % 4) + 1) * size) as Float32Array;
        return floats([4, ...field.shape.slice(1)], part);
      };
      return Object.fromEntries(Object.entries(batch).map(([name, field]) => [name, rows(field)]));
    };
    expect(await step.gradients(slice)).toEqual(whole);
    expect(asked).toEqual(Array.from({ length: 4 * step.microBatches.passes }, (_, i) => i));
    await step.release();
  });
  it.each([16, 4])(
    "has the same gradient where blocks are computed again, in micro-batches of %i",
    async (microBatch) => {
      const [kept, again] = [
        await tinyStep(objective, 16, { microBatch }),
        await tinyStep(objective, 16, { microBatch, recompute: true }),
      ];
      expect(await again.gradients(batch)).toEqual(await kept.gradients(batch));
      await Promise.all([kept.release(), again.release()]);
    },
  );
  it("leaves frozen parameters alone and moves the others", async () => {
    const { start, end, step } = await train(2, {
      rules: [{ match: "patch_embed\\.|(^|\\.)blocks\\.0\\.", frozen: true }],
    });
    let frozen = 0;
    for (const [name, { frozen: isFrozen }] of step.treatments) {
      const trained = step.state.trained.has(name);
      if (isFrozen) {
        frozen++;
        expect(trained, name).toBe(false);
      }
      if (trained) expect(end.get(name), name).not.toEqual(start.get(name));
      else expect(end.get(name), name).toEqual(start.get(name));
    }
    expect(frozen).toBe(14);
    for (const [name, { role }] of step.state.variables)
      if (role === "constant") expect(end.get(name), name).toEqual(start.get(name));
  });
});

it("MoCo v3 on 64 images is the same in micro-batches of 8", async () => {
  const [batch, results] = [mocoBatch(64), []] as [ReturnType<typeof mocoBatch>, Map<string, Float32Array>[]];
  const losses: number[] = [];
  for (const microBatch of [64, 8]) {
    const step = await tinyStep(tinyMoco, 64, { microBatch });
    await step.resetCopies();
    for (let number = 1; number <= 3; number++)
      losses.push((await step.run(batch, { number, rate: 1e-3, progress: number / 3 })).loss);
    results.push(await snapshot(step));
    await step.release();
  }
  expectAllclose(losses.slice(3), losses.slice(0, 3), { absolute: 1e-5 });
  for (const [name, value] of results[0]!)
    if (!name.startsWith("optimizer.")) expectAllclose(results[1]!.get(name)!, value, { absolute: 1e-5 }, name);
});
