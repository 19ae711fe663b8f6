/** The training step of a plain encoder: all parameters, AdamW, the loss the mean square of the class token. */
import { key } from "../src/tensor/random.ts";
import * as op from "../src/graph/ops/index.ts";
import { encode, patchCount, patches, type VitConfig } from "../src/nn/vit.ts";
import type { Objective } from "../src/objectives/objective.ts";
import type { Backend } from "../src/backend/backend.ts";
import { createStep } from "../src/step/step.ts";

/** The sizes that step_torch.py knows, under its names. */
const models: Readonly<Record<string, VitConfig>> = {
  "vit-micro": { imageSize: 32, patchSize: 4, width: 192, depth: 6, heads: 3 }, // 65 tokens
  "vit-small/16": { imageSize: 224, patchSize: 16, width: 384, depth: 12, heads: 6 },
  "vit-base/16": { imageSize: 224, patchSize: 16, width: 768, depth: 12, heads: 12 },
};

export function modelOf(name: string): VitConfig {
  const model = models[name];
  if (model === undefined) throw new Error(`unknown model ${name}; known: ${Object.keys(models).join(", ")}`);
  return model;
}

/** Of the batch field `images`. */
export function encoderObjective(config: VitConfig): Objective {
  return {
    name: "bench",
    encoder: "",
    tokens: 1 + patchCount(config),
    coupled: false,
    fields: { images: [3, config.imageSize, config.imageSize] },
    // All tokens of the last block, as PyTorch computes them, although the class token would do.
    encode: (p, { images }) => ({ tokens: encode(p, config, patches(images!, config.patchSize), { lineage: "mae" }) }),
    loss(_, { tokens }) {
      const cls = op.slice(tokens!, 1, 0, 1);
      return { loss: op.reduceMean(op.mul(cls, cls)) };
    },
  };
}

export function encoderStep(config: VitConfig, sizes: { batch: number; micro: number; backend: Backend }) {
  return createStep(encoderObjective(config), {
    batch: sizes.batch,
    microBatch: sizes.micro,
    rules: [],
    optimizer: { betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.05 },
    key: key(0),
    backend: sizes.backend,
  });
}
