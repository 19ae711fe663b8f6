/**
 * Seconds and memory of one training step: forward, backward and AdamW.
 *
 *     node dist/bench/step.js --model vit-small/16 --batch 16 --micro 8 --torch
 *     node dist/bench/step.js --objective cl --model small --batch 64 --torch --python venv/bin/python --fused
 *     node dist/bench/step.js --model vit-small/16 --batch 16 --micro 16 --device webgpu --peak 60
 *     … --torch --python venv/bin/python --torch-device cuda --precision tf32      on the same card
 *
 * `--objective`: `encoder` trains all parameters by the mean square of the class token after the final norm; `mim` is MAE
 * with its decoder, `cl` MoCo v3 with momentum encoder and heads, both with the sizes and rates that a recipe has.
 *
 * With `--torch` the same step in PyTorch (step_torch.py) runs beside it, from the same weights and on the same batch: the
 * losses tell. PyTorch is eager and plain; `--fused` and `--compile` take its faster ways. Each side has a
 * process of its own; they take turns step by step, so that a machine that slows down slows both. A process prints a line
 * when ready, then a line for each line "step" or "memory" it reads. With `--device` our side computes there, and says how
 * many operators a step has and what crosses to the device; `--peak` is what the device is said to reach in float32, in
 * TFLOP/s. `--tell` prints what PyTorch's side is told, to run it by itself.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { encodeSafetensors } from "../src/tensor/safetensors.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { devices } from "../src/backend/device.ts";
import { openBackend } from "../src/backend/open.ts";
import { imageWork } from "../src/cost/work.ts";
import { type Counts, counted } from "./counted.ts";
import { load, machine, peakBytes, versions } from "./machine.ts";
import { median, open, type Side } from "./sides.ts";
import { batchOf, kindOf, openStep, parametersOf, taskOf } from "./task.ts";
import { openTorch } from "./torch.ts";

const { values: options } = parseArgs({
  options: {
    objective: { type: "string", default: "encoder" },
    model: { type: "string", default: "vit-small/16" },
    batch: { type: "string", default: "16" },
    micro: { type: "string" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
    device: { type: "string", default: "cpu" },
    peak: { type: "string" },
    torch: { type: "boolean", default: false },
    "torch-device": { type: "string", default: "cpu" },
    precision: { type: "string", default: "fp32" },
    fused: { type: "boolean", default: false },
    compile: { type: "boolean", default: false },
    python: { type: "string", default: "/usr/bin/python3" },
    tell: { type: "boolean", default: false },
    serve: { type: "boolean", default: false },
  },
});
const task = taskOf(kindOf(options.objective), options.model);
const batch = Number(options.batch);
// A loss over the whole batch costs a second forward pass in several micro-batches; recipes avoid it where memory allows.
const micro = Number(options.micro ?? (options.objective === "encoder" ? 8 : batch));

if (options.tell) console.log(JSON.stringify(task.told));
else if (options.serve) await serve();
else await measure();

/** What a process answers to "step" and "memory"; ours says its parameters when ready. */
interface Said {
  readonly parameters?: number;
  readonly seconds?: number;
  readonly loss?: number;
  readonly peakBytes?: number;
  readonly counts?: Counts;
}

/** Runs both processes by turns and prints what came out. */
async function measure() {
  const { objective, model, device, threads, rounds } = options;
  console.log(
    `${objective} step of ${model}, batch ${batch}, micro-batch ${micro}, on ${device}, ${threads} threads, ${rounds} rounds`,
  );
  console.log(machine());
  console.log(versions());

  const ours = await open<Said>(process.execPath, [
    fileURLToPath(import.meta.url),
    ...process.argv.slice(2),
    "--serve",
  ]);
  const theirs = options.torch ? await withValues(openOther) : undefined;
  const taken = { ours: [] as Said[], theirs: [] as Said[] };
  for (let round = 0; round <= Number(rounds); round++)
    for (const [name, side] of [
      ["ours", ours],
      ["theirs", theirs?.side],
    ] as const) {
      if (side === undefined) continue;
      await setTimeout(300); // threads of the other side that still spin go to sleep
      taken[name].push(await side.ask("step"));
    }

  const seconds = (said: readonly Said[]) => said.slice(1).map((each) => each.seconds!); // the first step warms up
  await report("layergraft", ours, seconds(taken.ours));
  if (theirs !== undefined) {
    await report("PyTorch", theirs.side, seconds(taken.theirs));
    compare(seconds(taken.ours), seconds(taken.theirs));
    same("parameters", ours.ready.parameters!, theirs.ready.parameters, 0);
    // Rounding grows from step to step; the last loss tells of optimizer and momentum encoder.
    const tolerance = options.precision === "fp32" ? 1e-3 : 3e-2;
    same("loss of the first step", taken.ours[0]!.loss!, taken.theirs[0]!.loss!, tolerance);
    same("loss of the last step", taken.ours.at(-1)!.loss!, taken.theirs.at(-1)!.loss!, 10 * tolerance);
  }
  console.log(`load after: ${load()}`);
}

function compare(ours: readonly number[], theirs: readonly number[]) {
  const ratios = ours.map((each, i) => theirs[i]! / each).sort((a, b) => a - b);
  const range = `${ratios[0]!.toFixed(2)} to ${ratios.at(-1)!.toFixed(2)}`;
  const fastest = (Math.min(...theirs) / Math.min(...ours)).toFixed(2);
  const ratio = (median(theirs) / median(ours)).toFixed(2);
  console.log(`ratio PyTorch / layergraft: of medians ${ratio}, of fastest steps ${fastest}; round by round ${range}`);
}

/** Says a number of both sides, and fails when they are not the same computation. */
function same(what: string, ours: number, theirs: number, tolerance: number) {
  const show = (value: number) => value.toLocaleString("en", { maximumSignificantDigits: tolerance === 0 ? 21 : 6 });
  const agree = Math.abs(ours - theirs) <= tolerance * Math.abs(ours);
  console.log(
    agree
      ? `${what}: layergraft ${show(ours)}, PyTorch ${show(theirs)}`
      : `${what}: layergraft ${ours}, PyTorch ${theirs}: not the same step`,
  );
  if (!agree) process.exitCode = 1;
}

/** Calls `use` with a file of the first weights and the batch (`batch.…`), which goes afterwards. */
async function withValues<T>(use: (path: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "layergraft-bench-"));
  try {
    const step = await openStep(task, { batch, micro, backend: openBackend() });
    const fields = Object.entries(batchOf(task.objective, batch)).map(
      ([name, field]) => [`batch.${name}`, field] as const,
    );
    const path = join(folder, "values.safetensors");
    await writeFile(path, encodeSafetensors(new Map<string, Tensor>([...(await step.state.read()), ...fields])));
    await step.release();
    return await use(path);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function openOther(values: string) {
  const { threads, precision, fused, compile } = options;
  return openTorch<Said>(options.python, "step_torch.py", {
    task: JSON.stringify(task.told),
    values,
    batch: options.batch,
    threads,
    device: options["torch-device"],
    precision,
    fused,
    compile,
  });
}

async function report(name: string, side: Side<Said>, seconds: readonly number[]) {
  const { peakBytes, counts } = await side.ask("memory");
  const peak = peakBytes! / 2 ** 30;
  side.close();
  const each = seconds.map((s) => s.toFixed(3)).join(" ");
  const figures = `median ${median(seconds).toFixed(3)} s a step, fastest ${Math.min(...seconds).toFixed(3)}`;
  console.log(`${name.padEnd(10)} ${figures} (${each}), peak ${peak.toFixed(2)} GiB`);
  if (counts === undefined) return;
  const speed = (batch * imageWork(task)) / median(seconds) / 1e12;
  const share =
    options.peak === undefined ? "" : `, ${((100 * speed) / Number(options.peak)).toFixed(1)} % of the peak`;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(3)} MB`;
  const crossing = `${megabytes(counts.bytesIn)} in and ${megabytes(counts.bytesOut)} out`;
  console.log(
    `  ${speed.toFixed(3)} TFLOP/s in matrix products${share}; ${counts.nodes} operators in ${counts.runs} runs, ${crossing}`,
  );
}

/** Our side of the protocol. */
async function serve() {
  const device = devices.find((each) => each === options.device);
  if (device === undefined) throw new Error(`there is no device ${options.device}; available: ${devices.join(", ")}`);
  const { backend, counts } = counted(openBackend({ device, threads: Number(options.threads) }));
  const step = await openStep(task, { batch, micro, backend });
  const fields = batchOf(task.objective, batch);
  const say = (answer: object) => console.log(JSON.stringify(answer));

  say({ ready: true, parameters: parametersOf(task.objective, step) });
  let number = 0;
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "step") {
      Object.assign(counts, { runs: 0, nodes: 0, bytesIn: 0, bytesOut: 0 });
      const start = performance.now();
      const { loss } = await step.run(fields, { number: ++number, rate: 1e-4, progress: 0 });
      say({ seconds: (performance.now() - start) / 1000, loss });
    } else if (line === "memory") say({ peakBytes: peakBytes(), counts });
  }
  await step.release();
}
