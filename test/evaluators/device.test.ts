/** Encoders and neighbours on a device, beside the processor. */
import { describe, expect, it } from "vitest";
import { key } from "../../src/tensor/random.ts";
import { centerCrop } from "../../src/data/augmentation/views.ts";
import { openSource } from "../../src/data/sources/open.ts";
import { createEncoder, initialParameters } from "../../src/evaluators/encoder.ts";
import { createHeadGrid } from "../../src/evaluators/head-grid.ts";
import { openInside } from "../../src/evaluators/inside.ts";
import { neighbours } from "../../src/evaluators/neighbours.ts";
import { adapter } from "../backend/adapter.ts";

const model = { imageSize: 16, patchSize: 8, width: 12, depth: 2, heads: 2 };
const view = centerCrop(16, { resize: 16 });
const parameters = initialParameters(model, key(0));
const devices = ["cpu", "webgpu"] as const;

describe.skipIf(!(await adapter()))("on webgpu", { timeout: 120_000 }, () => {
  it("features, and what is inside, are the processor's", async () => {
    const source = await openSource({ kind: "synthetic", length: 20, size: 16 });
    const [host, gpu] = await Promise.all(
      devices.map(async (device) => {
        const encoder = await createEncoder(model, view, parameters, { device, batch: 8 });
        const inside = await openInside(encoder, ["tokens", "attention"], { device, batch: 8 });
        const found = { features: await encoder.features(source), ...(await inside.look(source)) };
        await inside.release();
        await encoder.release();
        return found;
      }),
    );
    expect(distance(host!.features.rows, gpu!.features.rows)).toBeLessThan(1e-5);
    expect(distance(host!.tokens[2]!.rows, gpu!.tokens[2]!.rows)).toBeLessThan(1e-5);
    expect(distance(host!.attention[1]!.rows, gpu!.attention[1]!.rows)).toBeLessThan(1e-5);
  });

  it("encoders open and close again and again", async () => {
    for (let i = 0; i < 5; i++) {
      const encoder = await createEncoder(model, view, parameters, { device: "webgpu", batch: 4 });
      const source = await openSource({ kind: "synthetic", length: 4, size: 16 });
      expect((await encoder.features(source)).count).toBe(4);
      await encoder.release();
    }
  });

  it.each(["sgd", "lars"] as const)("heads trained by %s are the processor's", async (optimizer) => {
    const rows = Float32Array.from({ length: 24 * 6 }, (_, i) => Math.sin(i * 3.7));
    const examples = {
      features: { rows, count: 24, width: 6 },
      labels: Int32Array.from({ length: 24 }, (_, i) => i % 3),
    };
    const heads = [0.3, 0.03].map((learningRate) => ({ learningRate, weightDecay: 0.01 }));
    const weight = Float32Array.from({ length: 3 * 6 }, (_, i) => Math.cos(i));
    const rest = { classes: 3, width: 6, batch: 24, momentum: 0.9, batchNorm: true, weight };
    const [host, gpu] = await Promise.all(
      devices.map(async (device) => {
        const grid = await createHeadGrid({ heads, optimizer, ...rest, device });
        for (let step = 0; step < 5; step++) await grid.step(examples, 1 - step / 5);
        const found = { weight: (await grid.classifier(0)).weight, accuracies: await grid.accuracies(examples) };
        await grid.release();
        return found;
      }),
    );
    expect(distance(Float32Array.from(host!.weight), Float32Array.from(gpu!.weight))).toBeLessThan(1e-5);
    expect([...gpu!.accuracies]).toEqual([...host!.accuracies]);
  });

  it("neighbours are the processor's", async () => {
    const rows = Float32Array.from({ length: 300 * 8 }, (_, i) => Math.sin(i * 7.3 + i * i * 0.01));
    const features = { rows, count: 300, width: 8 };
    const [host, gpu] = await Promise.all(devices.map((device) => neighbours(features, features, 20, { device })));
    expect(distance(host!.similarities, gpu!.similarities)).toBeLessThan(1e-5);
    const same = host!.indices.filter((index, i) => index === gpu!.indices[i]).length;
    expect(same / host!.indices.length).toBeGreaterThan(0.99);
  });
});

function distance(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
}
