/**
 * One contrastive step of a batch that memory does not hold, exact (MoCo v3; forward of both encoders, loss over the whole
 * batch, forward and backward, AdamW): its time and its memory; or, by turns with a step whose batch is one micro-batch,
 * what the second forward pass costs an image.
 *
 *     node dist/bench/big-batch.js --model vit-small/16 --batch 4096 --micro-batch 16
 *     node dist/bench/big-batch.js --batch 64 --steps 5 --compare
 */
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { fold, key, Random } from "../src/tensor/random.ts";
import { sizeOf } from "../src/tensor/shape.ts";
import { tensor } from "../src/tensor/tensor.ts";
import { presets } from "../src/nn/vit.ts";
import { mocov3 } from "../src/objectives/mocov3.ts";
import { cpu } from "../src/backend/cpu.ts";
import { createStep } from "../src/step/step.ts";
import { median } from "./sides.ts";

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "vit-small/16" },
    "image-size": { type: "string" },
    batch: { type: "string", default: "4096" },
    "micro-batch": { type: "string", default: "16" },
    threads: { type: "string", default: "2" },
    steps: { type: "string", default: "1" },
    recompute: { type: "boolean", default: false },
    compare: { type: "boolean", default: false },
  },
});
const preset = presets[options.model];
if (preset === undefined) throw new Error(`unknown model ${options.model}; known: ${Object.keys(presets).join(", ")}`);
const model = { ...preset, imageSize: Number(options["image-size"] ?? preset.imageSize) };
const [batch, microBatch, threads, steps] = [options.batch, options["micro-batch"], options.threads, options.steps].map(
  Number,
) as [number, number, number, number];

const load = () => `load ${loadavg()[0]!.toFixed(2)}`;
const gigabytes = () => `${(process.resourceUsage().maxRSS / 2 ** 20).toFixed(2)} GiB at most`;
console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${threads} threads, ${load()}`);

const objective = mocov3(model, { mlpDim: 4096, dim: 256, temperature: 0.2, momentum: 0.99 });
const random = new Random(fold(key(0), "bench"));
const largest = Math.max(...Object.values(objective.fields).map(sizeOf)) * microBatch;
const pool = Float32Array.from({ length: 2 * largest }, () => random.normal());

/** Micro-batch `part`: stretches of the pool, others for every part and field. */
function images(part: number) {
  const fields = Object.entries(objective.fields).map(([name, shape], field) => {
    const size = microBatch * sizeOf(shape);
    const start = ((part * 2 + field) * 10_007) % (pool.length - size);
    return [name, tensor("float32", [microBatch, ...shape], pool.subarray(start, start + size))] as const;
  });
  return Object.fromEntries(fields);
}

const open = (size: number) =>
  createStep(objective, {
    batch: size,
    microBatch,
    rules: [{ match: "patch_embed\\.", frozen: true }],
    optimizer: { betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.1 },
    key: key(0),
    backend: cpu({ threads }),
    recompute: options.recompute,
  });
const large = await open(batch);
const { count: parts, passes } = large.microBatches;
let shown = performance.now();

async function secondsOf(step: typeof large, number: number): Promise<number> {
  const start = performance.now();
  const samples = async (piece: number) => {
    if (performance.now() - shown > 60_000) {
      shown = performance.now();
      console.log(`  micro-batch ${piece} of ${parts * passes}, ${gigabytes()}, ${load()}`);
    }
    return images(piece % parts);
  };
  await step.run(samples, { number, rate: 1e-4, progress: 0 });
  return (performance.now() - start) / 1000;
}

const small = options.compare ? await open(microBatch) : undefined;
const perImage = { small: [] as number[], large: [] as number[] };
if (small !== undefined) await secondsOf(small, 1); // warms up
for (let number = 1; number <= steps; number++) {
  if (small !== undefined)
    for (let i = 0; i < 3; i++) perImage.small.push((await secondsOf(small, number)) / microBatch);
  const seconds = await secondsOf(large, number);
  perImage.large.push(seconds / batch);
  console.log(`step of ${batch} images in ${parts} micro-batches: ${seconds.toFixed(1)} s, ${gigabytes()}, ${load()}`);
}
const [one, many] = [median(perImage.small), median(perImage.large)];
console.log(`an image of a batch of ${batch}: ${(1000 * many).toFixed(0)} ms`);
if (small !== undefined)
  console.log(`an image of a batch of ${microBatch}: ${(1000 * one).toFixed(0)} ms; ratio ${(many / one).toFixed(2)}`);
