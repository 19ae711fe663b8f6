/**
 * Seconds and memory of one training step: forward, backward and AdamW of all parameters, the loss the mean square of the
 * class token after the final norm.
 *
 *     node dist/bench/step.js --model vit-small/16 --batch 16 --micro 8 --torch
 *     node dist/bench/step.js --model vit-small/16 --batch 16 --micro 16 --device webgpu --peak 60
 *     … --torch --python venv/bin/python --torch-device cuda --precision tf32      on the same card
 *
 * With `--torch` the same step in eager PyTorch (step_torch.py) runs beside it. Each has a process of its own; they take
 * turns step by step, so that a machine that slows down slows both. A process prints a line when ready, then a line for
 * each line "step" or "memory" it reads. With `--device` our side computes there, and says how many operators a step has and
 * what crosses to the device; `--peak` is what the device is said to reach in float32, in TFLOP/s.
 */
import { existsSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fold, key, Random } from "../src/tensor/random.ts";
import { sizeOf } from "../src/tensor/shape.ts";
import { tensor } from "../src/tensor/tensor.ts";
import type { VitConfig } from "../src/nn/vit.ts";
import { devices } from "../src/backend/device.ts";
import { openBackend } from "../src/backend/open.ts";
import { imageWork } from "../src/cost/work.ts";
import { type Counts, counted } from "./counted.ts";
import { encoderObjective, encoderStep, modelOf } from "./encoder-step.ts";
import { median, open, type Side } from "./sides.ts";

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "vit-small/16" },
    batch: { type: "string", default: "16" },
    micro: { type: "string", default: "8" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
    device: { type: "string", default: "cpu" },
    peak: { type: "string" },
    torch: { type: "boolean", default: false },
    "torch-device": { type: "string", default: "cpu" },
    precision: { type: "string", default: "fp32" },
    python: { type: "string", default: "/usr/bin/python3" },
    serve: { type: "boolean", default: false },
  },
});
const model = modelOf(options.model);
await (options.serve ? serve(model) : measure());

/** What a process says: its first line, and its answers to "step" and "memory". */
interface Said {
  readonly blas?: string;
  readonly kernel?: string | null;
  readonly matmulGflops?: number;
  readonly torch?: string;
  readonly seconds?: number;
  readonly loss?: number;
  readonly peakBytes?: number;
  readonly counts?: Counts;
}

/** Runs both processes by turns and prints what came out. */
async function measure() {
  const { batch, micro, threads, rounds } = options;
  const sizes = ["--model", options.model, "--batch", batch, "--threads", threads];
  const load = loadavg().map((x) => x.toFixed(2));
  console.log(
    `${options.model}, batch ${batch}, micro-batch ${micro}, on ${options.device}, ${threads} threads, ${rounds} rounds`,
  );
  console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${cpus().length} cores; load before: ${load.join(" ")}`);

  const ours = await open<Said>(process.execPath, [
    fileURLToPath(import.meta.url),
    "--serve",
    ...sizes,
    "--micro",
    micro,
    "--device",
    options.device,
  ]);
  const theirs = options.torch ? await openTorch(sizes) : undefined;
  const seconds = { ours: [] as number[], theirs: [] as number[] };
  for (let round = 0; round <= Number(rounds); round++)
    for (const [name, side] of [
      ["ours", ours],
      ["theirs", theirs],
    ] as const) {
      if (side === undefined) continue;
      await setTimeout(300); // threads of the other side that still spin go to sleep
      const answer = await side.ask("step");
      if (round > 0) seconds[name].push(answer.seconds!); // the first step warms up
    }

  await report("layergraft", ours, seconds.ours);
  if (theirs !== undefined) {
    await report("PyTorch", theirs, seconds.theirs);
    const ratios = seconds.ours.map((each, i) => seconds.theirs[i]! / each).sort((a, b) => a - b);
    const range = `${ratios[0]!.toFixed(2)} to ${ratios.at(-1)!.toFixed(2)}`;
    const fastest = (Math.min(...seconds.theirs) / Math.min(...seconds.ours)).toFixed(2);
    const ratio = (median(seconds.theirs) / median(seconds.ours)).toFixed(2);
    console.log(
      `ratio PyTorch / layergraft: of medians ${ratio}, of fastest steps ${fastest}; round by round ${range}`,
    );
  }
}

/** PyTorch's process, or undefined with a reason on the console when it would be no fair opponent. */
async function openTorch(sizes: readonly string[]): Promise<Side<Said> | undefined> {
  const script = fileURLToPath(new URL("../../bench/step_torch.py", import.meta.url)); // from dist/bench/
  const refuse = (why: string) => {
    console.log(`no comparison: ${why}`);
    process.exitCode = 1;
    return undefined;
  };
  if (!existsSync(options.python))
    return refuse(`there is no ${options.python}; name one that has PyTorch with --python`);
  let side: Side<Said>;
  try {
    const where = ["--device", options["torch-device"], "--precision", options.precision];
    side = await open<Said>(options.python, [script, ...sizes, ...where]);
  } catch {
    return refuse(`${options.python} could not run ${script}; on Debian, apt-get install python3-torch`);
  }
  const { torch, blas, kernel, matmulGflops } = side.ready;
  console.log(
    `PyTorch ${torch}, BLAS ${blas}${kernel == null ? "" : ` for ${kernel}`}, ${matmulGflops} GFLOP/s in a product of 768 x 768 matrices`,
  );
  if (blas !== "reference" || options["torch-device"] === "cuda") return side;
  side.close();
  return refuse("this PyTorch uses the reference BLAS, some 16 times too slow; apt-get install libopenblas0-openmp");
}

async function report(name: string, side: Side<Said>, seconds: readonly number[]) {
  const { peakBytes, counts } = await side.ask("memory");
  const peak = peakBytes! / 2 ** 30;
  side.close();
  const each = seconds.map((s) => s.toFixed(2)).join(" ");
  const figures = `median ${median(seconds).toFixed(3)} s a step, fastest ${Math.min(...seconds).toFixed(3)}`;
  console.log(`${name.padEnd(10)} ${figures} (${each}), peak ${peak.toFixed(2)} GiB`);
  if (counts === undefined) return;
  const speed = (Number(options.batch) * imageWork({ objective: encoderObjective(model) })) / median(seconds) / 1e12;
  const share =
    options.peak === undefined ? "" : `, ${((100 * speed) / Number(options.peak)).toFixed(1)} % of the peak`;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(3)} MB`;
  const crossing = `${megabytes(counts.bytesIn)} in and ${megabytes(counts.bytesOut)} out`;
  console.log(
    `  ${speed.toFixed(3)} TFLOP/s in matrix products${share}; ${counts.nodes} operators in ${counts.runs} runs, ${crossing}`,
  );
}

/** Our side of the protocol. */
async function serve(config: VitConfig) {
  const batch = Number(options.batch);
  const image = [3, config.imageSize, config.imageSize];
  const device = devices.find((each) => each === options.device);
  if (device === undefined) throw new Error(`there is no device ${options.device}; available: ${devices.join(", ")}`);
  const { backend, counts } = counted(openBackend({ device, threads: Number(options.threads) }));
  const step = await encoderStep(config, { batch, micro: Number(options.micro), backend });
  const random = new Random(fold(key(0), "images"));
  const shape = [batch, ...image];
  const images = tensor(
    "float32",
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => random.normal()),
  );
  const say = (answer: object) => console.log(JSON.stringify(answer));

  say({ ready: true });
  let number = 0;
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "step") {
      Object.assign(counts, { runs: 0, nodes: 0, bytesIn: 0, bytesOut: 0 });
      const start = performance.now();
      const { loss } = await step.run({ images }, { number: ++number, rate: 1e-4, progress: 0 });
      say({ seconds: (performance.now() - start) / 1000, loss });
    } else if (line === "memory") say({ peakBytes: process.resourceUsage().maxRSS * 1024, counts });
  }
  await step.release();
}
