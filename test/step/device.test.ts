/** Training on a WebGPU device beside training on the CPU. */
import { describe, expect, it } from "vitest";
import { webgpu } from "../../src/backend/webgpu.ts";
import { NonFiniteError, type Step } from "../../src/step/step.ts";
import { adapter } from "../backend/adapter.ts";
import { everyObjective, maeBatch, snapshot, tinyMae, tinyStep } from "../objectives/tiny.ts";

/** ‖got - expected‖ / ‖expected‖ */
function difference(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [squares, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    squares += (got[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return Math.sqrt(squares) / Math.max(Math.sqrt(size), 1e-12);
}

const optimizer = { betas: [0.9, 0.95], epsilon: 1e-4, weightDecay: 0.05 } as const; // no noise is made a full step of

describe.skipIf(!(await adapter()))("on a WebGPU device", () => {
  describe.each(everyObjective)("%s", (_, objective, batch) => {
    const both = async (options = {}): Promise<[Step, Step]> => {
      const steps = [
        await tinyStep(objective, 16, { optimizer, ...options }),
        await tinyStep(objective, 16, { optimizer, ...options, backend: webgpu() }),
      ] as [Step, Step];
      for (const step of steps) await step.resetCopies();
      return steps;
    };
    const release = (steps: readonly Step[]) => Promise.all(steps.map((step) => step.release()));

    it.each([
      ["in one piece", {}],
      ["in micro-batches", { microBatch: 4 }],
      ["where blocks are computed again", { recompute: true }],
      ["above frozen blocks", { rules: [{ match: "(^|\\.)(cls_token|patch_embed\\.|blocks\\.0\\.)", frozen: true }] }],
    ])("has the gradient of the CPU %s", async (_, options) => {
      const steps = await both(options);
      const [host, device] = [await steps[0].gradients(batch), await steps[1].gradients(batch)];
      expect(Math.abs(device.loss / host.loss - 1)).toBeLessThan(1e-5);
      expect([...device.gradients.keys()]).toEqual([...host.gradients.keys()]);
      const all = (from: typeof host) => [...from.gradients.values()].flatMap(({ data }) => [...data].map(Number));
      expect(Math.hypot(...all(device))).toBeGreaterThan(0);
      expect(difference(all(device), all(host))).toBeLessThan(1e-5);
      await release(steps);
    });
    it("has its weights after ten steps", async () => {
      const steps = await both();
      for (let number = 1; number <= 10; number++) {
        const at = { number, rate: 1e-3, progress: number / 10 };
        const [host, device] = [await steps[0].run(batch, at), await steps[1].run(batch, at)];
        expect(device.gradientNorm).toBeGreaterThan(0);
        expect(Math.abs(device.loss / host.loss - 1), `loss of step ${number}`).toBeLessThan(1e-4);
      }
      const [host, device] = [await snapshot(steps[0]), await snapshot(steps[1])];
      for (const [name, expected] of host)
        if (!name.startsWith("optimizer."))
          expect(difference(device.get(name)!, expected), name).toBeLessThan(name.endsWith("bias") ? 1e-4 : 1e-5);
      await release(steps);
    });
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
