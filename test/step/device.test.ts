/** Training on a WebGPU device beside training on the CPU. */
import { describe, expect, it } from "vitest";
import { webgpu } from "../../src/backend/webgpu.ts";
import type { Objective } from "../../src/objectives/objective.ts";
import type { Fields } from "../../src/step/micro-batches.ts";
import { NonFiniteError, type Step, type StepOptions } from "../../src/step/step.ts";
import { adapter } from "../backend/adapter.ts";
import { everyObjective, maeBatch, snapshot, tinyMae, tinyStep } from "../objectives/tiny.ts";

/** ‖got - expected‖ / ‖expected‖, or in place of that the `least` it may be: what is zero but for rounding has no own size. */
function difference(got: ArrayLike<number>, expected: ArrayLike<number>, least = 0): number {
  let [squares, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    squares += (got[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return Math.sqrt(squares) / Math.max(Math.sqrt(size), least);
}

const optimizer = { betas: [0.9, 0.95], epsilon: 1e-4, weightDecay: 0.05 } as const; // no noise is made a full step of

describe.skipIf(!(await adapter()))("on a WebGPU device", () => {
  const both = async (objective: Objective, options: Partial<StepOptions>): Promise<[Step, Step]> => {
    const steps = [
      await tinyStep(objective, 16, { optimizer, ...options }),
      await tinyStep(objective, 16, { optimizer, ...options, backend: webgpu() }),
    ] as [Step, Step];
    for (const step of steps) await step.resetCopies();
    return steps;
  };
  const sameGradients = async ([host, device]: readonly [Step, Step], batch: Fields) => {
    const [expected, found] = [await host.gradients(batch), await device.gradients(batch)];
    expect(Math.abs(found.loss / expected.loss - 1)).toBeLessThan(1e-5);
    expect([...found.gradients.keys()]).toEqual([...expected.gradients.keys()]);
    const all = ({ gradients }: typeof expected) =>
      [...gradients.values()].flatMap(({ data }) => [...data].map(Number));
    expect(Math.hypot(...all(found))).toBeGreaterThan(0);
    expect(difference(all(found), all(expected))).toBeLessThan(1e-5);
  };

  // Shaders are compiled for every graph, which takes a software adapter seconds: so one step does for several questions.
  it.each(everyObjective)(
    "%s has the gradient of the CPU in micro-batches, and its weights after ten steps",
    async (_, objective, batch) => {
      const [host, device] = await both(objective, { microBatch: 8 });
      await sameGradients([host, device], batch);
      for (let number = 1; number <= 10; number++) {
        const at = { number, rate: 1e-3, progress: number / 10 };
        const [expected, found] = [await host.run(batch, at), await device.run(batch, at)];
        expect(found.gradientNorm).toBeGreaterThan(0);
        expect(Math.abs(found.loss / expected.loss - 1), `loss of step ${number}`).toBeLessThan(1e-4);
      }
      const [expected, found] = [await host.state.read(), await device.state.read()];
      const all = (values: typeof expected) => [...values.values()].flatMap(({ data }) => [...data]);
      expect(difference(all(found), all(expected))).toBeLessThan(1e-5);
      // Adam divides a gradient by its own size: where it is small, so is what can be said of a tensor by itself. Of nothing
      // but rounding nothing can be said: this is the mean of what batch normalisation has left without one.
      const least = 1e-5 * Math.hypot(...all(expected));
      for (const [name, { data }] of expected)
        if (name === "predictor.1.running_mean") expect(difference(found.get(name)!.data, data, 1)).toBeLessThan(1e-6);
        else expect(difference(found.get(name)!.data, data, least), name).toBeLessThan(1e-4);
      await Promise.all([host.release(), device.release()]);
    },
  );
  it("both losses have the CPU's gradient in one piece, above frozen blocks, with blocks computed again", async () => {
    const [, objective, batch] = everyObjective.find(([name]) => name === "mae with mocov3")!;
    const rules = [{ match: "(^|\\.)(cls_token|patch_embed\\.|blocks\\.0\\.)", frozen: true }];
    const steps = await both(objective, { rules, recompute: true });
    await sameGradients(steps, batch);
    await Promise.all(steps.map((step) => step.release()));
  });
  it("leaves the weights alone when a number is not finite, and goes on", async () => {
    const step = await tinyStep(tinyMae, 16, { backend: webgpu() });
    const before = await snapshot(step);
    const batch = maeBatch(16);
    const bad = { ...batch, images: { ...batch.images!, data: batch.images!.data.map(() => NaN) as Float32Array } };
    await expect(step.run(bad, { number: 1, rate: 1e-3, progress: 0 })).rejects.toThrow(NonFiniteError);
    expect(await snapshot(step)).toEqual(before);
    const { gradientNorm } = await step.run(batch, { number: 1, rate: 1e-3, progress: 0 });
    expect(gradientNorm).toBeGreaterThan(0);
    await step.release();
  });
  it("repeats to the bit", async () => {
    const train = async () => {
      const step = await tinyStep(tinyMae, 16, { backend: webgpu() });
      for (let number = 1; number <= 3; number++)
        await step.run(maeBatch(16), { number, rate: 1e-3, progress: number / 3 });
      const end = await snapshot(step);
      await step.release();
      return end;
    };
    expect(await train()).toEqual(await train());
  });
});
