/**
 * What freezing the lower blocks saves in a contrastive step (MoCo v3; forward of both encoders, backward, AdamW, moving
 * average): no backward pass reaches below the lowest trained block.
 *
 *     node dist/bench/frozen.js --model vit-tiny/16 --batch 32 --threads 2
 *
 * The variants take turns, so that a machine that slows down slows all; medians and ratios to nothing frozen.
 */
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { fold, key, Random } from "../src/tensor/random.ts";
import { sizeOf } from "../src/tensor/shape.ts";
import { tensor } from "../src/tensor/tensor.ts";
import { presets } from "../src/nn/vit.ts";
import { mocov3 } from "../src/objectives/mocov3.ts";
import { lower } from "../src/optim/groups.ts";
import { cpu } from "../src/backend/cpu.ts";
import { createStep } from "../src/step/step.ts";

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "vit-tiny/16" },
    batch: { type: "string", default: "32" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
  },
});
const model = presets[options.model];
if (model === undefined) throw new Error(`unknown model ${options.model}; known: ${Object.keys(presets).join(", ")}`);
const [batch, threads, rounds] = [options.batch, options.threads, options.rounds].map(Number) as [
  number,
  number,
  number,
];
const load = loadavg().map((x) => x.toFixed(2));
console.log(`${options.model}, batch ${batch}, ${threads} threads, ${rounds} rounds`);
console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${cpus().length} cores; load before: ${load.join(" ")}`);

const objective = mocov3(model, { mlpDim: 1024, dim: 256, temperature: 0.2, momentum: 0.99 });
const random = new Random(fold(key(0), "bench"));
const fields = Object.fromEntries(
  Object.entries(objective.fields).map(([name, shape]) => {
    const data = Float32Array.from({ length: batch * sizeOf(shape) }, () => random.normal());
    return [name, tensor("float32", [batch, ...shape], data)];
  }),
);
const { depth } = model;
const variants = await Promise.all(
  [undefined, ...new Set([depth / 3, (2 * depth) / 3, depth].map(Math.round))].map(async (blocks) => ({
    blocks,
    seconds: [] as number[],
    step: await createStep(objective, {
      batch,
      microBatch: batch,
      rules:
        blocks === undefined ? [{ match: "patch_embed\\.", frozen: true }] : [{ match: lower(blocks), frozen: true }],
      optimizer: { betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.1 },
      key: key(0),
      backend: cpu({ threads }),
    }),
  })),
);
for (let round = 0; round <= rounds; round++)
  for (const { step, seconds } of variants) {
    const start = performance.now();
    await step.run(fields, { number: round + 1, rate: 1e-4, progress: 0 });
    if (round > 0) seconds.push((performance.now() - start) / 1000); // the first step warms up
  }
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
const whole = median(variants[0]!.seconds);
for (const { blocks, seconds } of variants) {
  const what = blocks === undefined ? "patch projection frozen" : `embeddings and ${blocks} of ${depth} blocks frozen`;
  const time = median(seconds);
  console.log(`${what.padEnd(42)} ${time.toFixed(3)} s a step, ${(whole / time).toFixed(2)} times as fast`);
}
