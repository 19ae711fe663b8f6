/** A model small enough for tests, and images to train it on. */
import { key } from "../../src/tensor/random.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import type { VitConfig } from "../../src/nn/vit.ts";
import { joint } from "../../src/objectives/joint.ts";
import { l1Anchor } from "../../src/objectives/l1-anchor.ts";
import { mae } from "../../src/objectives/mae.ts";
import { mocov3 } from "../../src/objectives/mocov3.ts";
import { simclr } from "../../src/objectives/simclr.ts";
import { simmim } from "../../src/objectives/simmim.ts";
import { vicreg } from "../../src/objectives/vicreg.ts";
import type { Objective } from "../../src/objectives/objective.ts";
import { cpu } from "../../src/backend/cpu.ts";
import { createStep, type Step, type StepOptions } from "../../src/step/step.ts";
import { draw, randomFor } from "../helpers.ts";

export const model: VitConfig = { imageSize: 16, patchSize: 4, width: 32, depth: 2, heads: 2 };
export const maeOptions = { decoderWidth: 16, decoderDepth: 1, decoderHeads: 2, maskRatio: 0.75, normPix: true };
export const tinyMae = mae(model, maeOptions);
export const mocoOptions = { mlpDim: 32, dim: 16, temperature: 0.2, momentum: 0.99 };
export const tinyMoco = mocov3(model, mocoOptions);
export const tinySimclr = simclr(model, { mlpDim: 32, dim: 16, temperature: 0.2 });
export const vicregOptions = { mlpDim: 32, dim: 24, invariance: 25, variance: 25, covariance: 1 };
export const tinyVicreg = vicreg(model, vicregOptions);
export const simmimOptions = { maskRatio: 0.6, maskUnit: 1 };
export const tinySimmim = simmim(model, simmimOptions);

/** Coloured rectangles on coloured grounds, a little noise: [count, 3, 16, 16]. */
export function pictures(count: number, name = "pictures"): Tensor<"float32"> {
  const random = randomFor(name);
  const size = model.imageSize;
  const data = new Float32Array(count * 3 * size * size);
  for (let i = 0; i < count; i++) {
    const [x, y] = [random.integer(8), random.integer(8)];
    const colours = [0, 1, 2].map(() => [random.uniform(-2, 2), random.uniform(-2, 2)] as const);
    for (const [c, [ground, ink]] of colours.entries())
      for (let row = 0; row < size; row++)
        for (let column = 0; column < size; column++) {
          const inside = row >= y && row < y + 8 && column >= x && column < x + 8;
          data[((i * 3 + c) * size + row) * size + column] = (inside ? ink : ground) + 0.1 * random.normal();
        }
  }
  return tensor("float32", [count, 3, size, size], data);
}

export function maeBatch(count: number): Record<string, Tensor<"float32">> {
  const random = randomFor("noise");
  return { images: pictures(count), noise: draw("float32", [count, 16], random, () => random.uniform()) };
}

/** Two views that differ by noise. */
export function mocoBatch(count: number): Record<string, Tensor<"float32">> {
  const random = randomFor("views");
  const images = pictures(count);
  const view = () =>
    tensor(
      "float32",
      images.shape,
      images.data.map((x) => x + 0.3 * random.normal()),
    );
  return { view1: view(), view2: view() };
}

/** The same with noise that says which patches are seen. */
export function droppedBatch(count: number): Record<string, Tensor<"float32">> {
  const random = randomFor("patch drop");
  const noise = () => draw("float32", [count, 16], random, () => random.uniform());
  return { ...mocoBatch(count), noise1: noise(), noise2: noise() };
}

const batches = { mae: maeBatch(16), mocov3: mocoBatch(16), dropped: droppedBatch(16) };
const dropping = (keys: "same" | "all") => mocov3(model, { ...mocoOptions, patchDrop: { ratio: 0.5, keys } });
/** Every objective that recipes name, with a batch of 16. */
export const everyObjective = [
  ["mae", tinyMae, batches.mae],
  ["mocov3", tinyMoco, batches.mocov3],
  ["mocov3 with an L1 anchor", l1Anchor(tinyMoco, model.depth, { weight: 1e-5, blocks: 1 }), batches.mocov3],
  ["mocov3 on half of the patches", dropping("same"), batches.dropped],
  ["contrastive MAE", dropping("all"), batches.dropped],
  [
    "mae with mocov3",
    joint(mae(model, maeOptions, "base_encoder."), tinyMoco, { mimWeight: 1, clWeight: 1 }),
    { ...batches.mae, ...batches.mocov3 },
  ],
  ["simclr", tinySimclr, batches.mocov3],
  ["vicreg", tinyVicreg, batches.mocov3],
  ["simmim", tinySimmim, batches.mae],
] as const;

export function tinyStep(objective: Objective, batch: number, options: Partial<StepOptions> = {}): Promise<Step> {
  return createStep(objective, {
    batch,
    microBatch: batch,
    rules: [],
    optimizer: { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.05 },
    key: key(1),
    backend: cpu({ threads: 1 }),
    ...options,
  });
}

/** A copy of everything a step keeps. */
export async function snapshot(step: Step): Promise<Map<string, Float32Array>> {
  const values = await step.state.read({ moments: true });
  return new Map([...values].map(([name, { data }]) => [name, data.slice()]));
}
