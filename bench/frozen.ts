/**
 * What lower blocks that are frozen or lazy save in a contrastive step (MoCo v3; forward of both encoders, backward, AdamW,
 * moving average): no backward pass reaches below the lowest block that the step trains, and what is frozen has one forward
 * pass for both encoders.
 *
 *     node dist/bench/frozen.js --model vit-tiny/8 --batch 64 --threads 2
 *     node dist/bench/frozen.js --model small --batch 64 --rounds 20
 *
 * The variants take turns of four steps, so that a machine that slows down slows all; medians of the mean of four, and
 * ratios to nothing frozen.
 */
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { fold, key, Random } from "../src/tensor/random.ts";
import { sizeOf } from "../src/tensor/shape.ts";
import { tensor } from "../src/tensor/tensor.ts";
import { mocov3 } from "../src/objectives/mocov3.ts";
import { lower } from "../src/optim/groups.ts";
import { cpu } from "../src/backend/cpu.ts";
import { createStep } from "../src/step/step.ts";
import { modelOf } from "./task.ts";

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "vit-tiny/8" },
    batch: { type: "string", default: "64" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
  },
});
const model = modelOf(options.model);
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
const projection = { match: "patch_embed\\.", frozen: true };
const [third, twoThirds] = [depth / 3, (2 * depth) / 3].map(Math.round) as [number, number];
const lazy = (every: number) => ({
  what: `embeddings and ${twoThirds} of ${depth} blocks in every ${every}th step`,
  rules: [projection, { match: lower(twoThirds), rate: 0.1, every }],
});
const frozen = (blocks: number) => ({
  what: `embeddings and ${blocks} of ${depth} blocks frozen`,
  rules: [{ match: lower(blocks), frozen: true }],
});
const nothing = { what: "patch projection frozen", rules: [projection] };
const variants = [];
for (const { what, rules } of [nothing, frozen(third), frozen(twoThirds), frozen(depth), lazy(2), lazy(4)]) {
  const step = await createStep(objective, {
    batch,
    microBatch: batch,
    rules,
    optimizer: { betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.1 },
    key: key(0),
    backend: cpu({ threads }),
    equalCopies: true,
  });
  await step.resetCopies();
  variants.push({ what, step, seconds: [] as number[] });
}
const turn = 4;
for (let round = 0; round <= rounds; round++)
  for (const { step, seconds } of variants) {
    const start = performance.now();
    for (let i = 1; i <= turn; i++) await step.run(fields, { number: turn * round + i, rate: 1e-4, progress: 0 });
    if (round > 0) seconds.push((performance.now() - start) / 1000 / turn); // the first turn warms up
  }
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
const whole = median(variants[0]!.seconds);
for (const { what, seconds } of variants) {
  const time = median(seconds);
  console.log(`${what.padEnd(50)} ${time.toFixed(3)} s a step, ${(whole / time).toFixed(2)} times as fast`);
}
