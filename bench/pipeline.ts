/**
 * Training from files to updated weights: images a second of decoding, augmentation and step together.
 *
 *     node dist/bench/pipeline.js --data photos --objective cl --model small
 *     node dist/bench/pipeline.js --data photos --objective mim --model small --workers 2 --torch --python venv/bin/python
 *
 * With `--torch` a PyTorch user's training runs beside it (pipeline_torch.py): the same model, loss and augmentation by
 * torchvision and a DataLoader with so many workers. Each side has a process of its own; they take turns, a stretch of some
 * seconds each, and the other's workers rest meanwhile. A stretch begins with a few steps that do not count: they use up
 * what workers have made ahead.
 *
 * Every image is decoded again whenever it is asked for, on both sides. `--cache` gives our side its usual memory for
 * decoded images, in megabytes (a recipe's default: 1024); PyTorch's DataLoader has nothing like it.
 */
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { openBackend } from "../src/backend/open.ts";
import { openStageLoader, samplesOf } from "../src/recipe/stage.ts";
import { takeSteps } from "../src/step/take-steps.ts";
import { bytesOfChildren, load, machine, peakBytes, versions } from "./machine.ts";
import { median, open, type Side } from "./sides.ts";
import { kindOf, openStep, parametersOf, stageOf, stageTask } from "./task.ts";
import { openTorch } from "./torch.ts";

const { values: options } = parseArgs({
  options: {
    data: { type: "string" },
    objective: { type: "string", default: "cl" },
    model: { type: "string", default: "small" },
    batch: { type: "string", default: "64" },
    micro: { type: "string" },
    threads: { type: "string", default: "2" },
    workers: { type: "string", default: "1" },
    cache: { type: "string", default: "0" },
    seconds: { type: "string", default: "10" },
    "warm-up": { type: "string", default: "5" },
    rounds: { type: "string", default: "5" },
    torch: { type: "boolean", default: false },
    fused: { type: "boolean", default: false },
    compile: { type: "boolean", default: false },
    python: { type: "string", default: "/usr/bin/python3" },
    serve: { type: "boolean", default: false },
  },
});
const kind = kindOf(options.objective);
if (options.data === undefined) throw new Error("name a folder of images with --data");
if (kind === "encoder") throw new Error("choose --objective cl or mim");
const stage = stageOf(kind, options.model, {
  data: { kind: "folder", path: options.data },
  batch: Number(options.batch),
  ...(options.micro === undefined ? {} : { microBatch: Number(options.micro) }),
  workers: Number(options.workers),
  cacheMegabytes: Number(options.cache),
  threads: Number(options.threads),
});
const task = stageTask(kind, stage);
await (options.serve ? serve() : measure());

/** What a process says of a stretch. Without `seconds`: that it is ready. */
interface Said {
  readonly pid?: number;
  readonly parameters?: number;
  /** Images of the data set. */
  readonly length?: number;
  readonly images?: number;
  readonly seconds?: number;
  readonly waited?: number;
  readonly loss?: number;
}

/** Runs both processes by turns and prints what came out. */
async function measure() {
  const { objective, model, batch, threads, workers, cache, seconds, rounds } = options;
  console.log(
    `${objective} training of ${model}, batch ${batch}, ${threads} threads, ${workers} data workers, ` +
      `${cache} MB for decoded images, ${rounds} rounds of ${seconds} s`,
  );
  console.log(machine());
  console.log(`${versions()}, sharp ${sharp.versions.sharp}`);
  const ours = await open<Said>(process.execPath, [
    fileURLToPath(import.meta.url),
    ...process.argv.slice(2),
    "--serve",
  ]);
  const theirs = options.torch ? await openOther() : undefined;
  const sides: [string, Side<Said>][] = [
    ["layergraft", ours],
    ...(theirs === undefined ? [] : [["PyTorch", theirs.side] satisfies [string, Side<Said>]]),
  ];
  const taken = sides.map((): Said[] => []);
  const bytes = sides.map((): number => 0);
  for (let round = 0; round <= Number(rounds); round++)
    for (const [i, [, side]] of sides.entries()) {
      await setTimeout(300); // workers of the other side fill their queues, and threads that spin go to sleep
      const answer = await side.ask("train");
      if (round > 0) taken[i]!.push(answer); // the first round warms up
      const { pid } = side.ready;
      bytes[i] = Math.max(bytes[i]!, peakBytes(pid) + bytesOfChildren(pid!));
    }

  const rates = taken.map((said) => said.map((each) => each.images! / each.seconds!));
  for (const [i, [name, side]] of sides.entries()) {
    const waited = median(taken[i]!.map((each) => each.waited! / each.seconds!));
    const each = rates[i]!.map((rate) => rate.toFixed(0)).join(" ");
    console.log(
      `${name.padEnd(10)} median ${median(rates[i]!).toFixed(0)} images/s (${each}), waits for data ` +
        `${(100 * waited).toFixed(0)} % of the time, ${(bytes[i]! / 2 ** 30).toFixed(2)} GiB, ` +
        `loss ${taken[i]!.at(-1)!.loss!.toFixed(3)}`,
    );
    side.close();
  }
  if (theirs !== undefined) {
    const ratios = rates[0]!.map((rate, i) => rate / rates[1]![i]!).sort((a, b) => a - b);
    const range = `${ratios[0]!.toFixed(2)} to ${ratios.at(-1)!.toFixed(2)}`;
    const ratio = (median(rates[0]!) / median(rates[1]!)).toFixed(2);
    console.log(`ratio layergraft / PyTorch in images/s: of medians ${ratio}; round by round ${range}`);
    const [own, other] = [ours.ready, theirs.side.ready];
    const show = ({ length, parameters }: Said) =>
      `${parameters!.toLocaleString("en")} parameters and ${length!.toLocaleString("en")} images`;
    console.log(`layergraft has ${show(own)}, PyTorch ${show(other)}`);
    if (own.parameters !== other.parameters || own.length !== other.length) process.exitCode = 1;
  }
  console.log(`load after: ${load()}`);
}

function openOther() {
  const { data, batch, threads, workers, seconds, fused, compile } = options;
  return openTorch<Said>(options.python, "pipeline_torch.py", {
    task: JSON.stringify(task.told),
    data: data!,
    batch,
    threads,
    workers,
    seconds,
    "warm-up": options["warm-up"],
    fused,
    compile,
  });
}

/** Our side of the protocol: a stretch of training for every line "train". */
async function serve() {
  const { batch, microBatch, threads } = stage;
  const loader = await openStageLoader(stage);
  const step = await openStep(task, { batch, micro: microBatch, backend: openBackend({ threads }) });
  const walk = {
    to: Infinity,
    samples: (i: number) => samplesOf(loader, i),
    at: () => ({ rate: 1e-4, progress: 0 }),
  };
  const steps = takeSteps(step, walk);
  const next = async () => (await steps.next()).value!.loss;
  const say = (answer: Said) => console.log(JSON.stringify(answer));

  say({ pid: process.pid, parameters: parametersOf(task.objective, step), length: loader.source.length });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line !== "train") continue;
    let loss = Number.NaN;
    for (let i = 0; i < Number(options["warm-up"]); i++) loss = await next();
    const [start, waited] = [performance.now(), loader.waited()];
    const passed = () => (performance.now() - start) / 1000;
    let images = 0;
    while (passed() < Number(options.seconds)) {
      loss = await next();
      images += batch;
    }
    say({ images, seconds: passed(), waited: (loader.waited() - waited) / 1000, loss });
  }
  await Promise.all([loader.close(), step.release()]);
}
