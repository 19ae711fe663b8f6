/**
 * Images a second and core on the way from a JPEG file to a batch: decoding alone, the MAE view and the two MoCo v3 views
 * at 224 px, no image kept.
 *
 *     node dist/bench/data.js --torch                       beside torchvision and PIL (data_torch.py)
 *     node dist/bench/data.js --images photos --short-side 512
 *     node dist/bench/data.js --step vit-small/16           what a training step waits for data
 *
 * Each side is one process, with its threads on one processor (taskset) where there is that. They take turns, task by
 * task. A rate is images by seconds of processor time, which other programs change less than the clock's.
 * Without `--images` the images are made: noise with equal power in every octave, as photographs have, and filled shapes
 * over it, 500 x 375, JPEG quality 90.
 */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { fold, key, Random } from "../src/tensor/random.ts";
import { openLoader } from "../src/data/batches/loader.ts";
import { rowMaker } from "../src/data/batches/rows.ts";
import { openSource, type SourceInput } from "../src/data/sources/open.ts";
import { maeView, mocoViews } from "../src/data/augmentation/views.ts";
import { cpu } from "../src/backend/cpu.ts";
import { load } from "./machine.ts";
import { median, open, type Side } from "./sides.ts";
import { modelOf, openStep, taskOf } from "./task.ts";

const { values: options } = parseArgs({
  options: {
    images: { type: "string" },
    count: { type: "string", default: "200" },
    "short-side": { type: "string" },
    rounds: { type: "string", default: "5" },
    torch: { type: "boolean", default: false },
    python: { type: "string", default: "/usr/bin/python3" },
    step: { type: "string" },
    batch: { type: "string", default: "16" },
    threads: { type: "string", default: "2" },
    serve: { type: "boolean", default: false },
  },
});

/** What a process says: its first line, and its answer to a task. */
interface Said {
  readonly versions?: string;
  readonly images?: number;
  /** Of the processor, all threads together. */
  readonly seconds?: number;
}

const tasks = ["decode", "mae", "mocov3"] as const;

if (options.serve) await serve(options.images!);
else {
  const made = options.images === undefined ? await mkdtemp(join(tmpdir(), "layergraft-bench-")) : undefined;
  try {
    if (made !== undefined) await makePhotos(made, Number(options.count));
    const images = options.images ?? made!;
    console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${cpus().length} cores; load before: ${load()}`);
    await (options.step === undefined ? measure(images) : measureStep(images, options.step));
  } finally {
    if (made !== undefined) await rm(made, { recursive: true });
  }
}

function source(images: string): SourceInput {
  const shortSide = options["short-side"];
  return { kind: "folder", path: images, ...(shortSide === undefined ? {} : { shortSide: Number(shortSide) }) };
}

/** Runs both processes by turns and prints their rates. */
async function measure(images: string) {
  const shortSide = options["short-side"];
  const args = ["--images", images, ...(shortSide === undefined ? [] : ["--short-side", shortSide])];
  const sides: [string, Side<Said>][] = [
    ["layergraft", await pinned(process.execPath, [fileURLToPath(import.meta.url), "--serve", ...args])],
  ];
  if (options.torch) {
    const script = fileURLToPath(new URL("../../bench/data_torch.py", import.meta.url)); // from dist/bench/
    sides.push(["torchvision", await pinned(options.python, [script, images])]);
  }
  for (const [name, side] of sides) console.log(`${name}: ${side.ready.versions}`);
  for (const task of tasks) {
    const rates = sides.map((): number[] => []);
    for (let round = 0; round <= Number(options.rounds); round++)
      for (const [i, [, side]] of sides.entries()) {
        const answer = await side.ask(task);
        if (round > 0) rates[i]!.push(answer.images! / answer.seconds!); // the first round warms up
      }
    const figures = sides.map(([name], i) => {
      const [low, high] = [Math.min(...rates[i]!), Math.max(...rates[i]!)].map((rate) => rate.toFixed(0));
      return `${name} ${median(rates[i]!).toFixed(0)} (${low} to ${high})`;
    });
    const ratios = rates[0]!.map((rate, round) => rate / (rates[1]?.[round] ?? rate));
    const ratio = sides.length > 1 ? `; ratio ${median(ratios).toFixed(2)}` : "";
    console.log(`${task.padEnd(7)} images/s and core: ${figures.join(", ")}${ratio}`);
  }
  for (const [, side] of sides) side.close();
  console.log(`load after: ${load()}`);
}

function pinned(command: string, args: readonly string[]): Promise<Side<Said>> {
  return existsSync("/usr/bin/taskset") ? open("/usr/bin/taskset", ["-c", "0", command, ...args]) : open(command, args);
}

/** Our side of the protocol: what a worker thread does, on its settings. */
async function serve(images: string) {
  sharp.concurrency(1);
  sharp.cache(false);
  const opened = await openSource(source(images));
  const all = Int32Array.from({ length: opened.length }, (_, i) => i);
  const rows = (views: Parameters<typeof rowMaker>[1]["views"]) => {
    const make = rowMaker(opened, { views, seed: 0, cacheBytes: 0, maxBadShare: 0 });
    return async (epoch: number) => {
      for (let i = 0; i < all.length; i += 16) await make(epoch, all.slice(i, i + 16));
    };
  };
  const work: Record<string, (epoch: number) => Promise<void>> = {
    async decode() {
      for (let i = 0; i < all.length; i += 4) await Promise.all(Array.from(all.slice(i, i + 4), (n) => opened.load(n)));
    },
    mae: rows({ images: maeView(224) }),
    mocov3: rows(mocoViews(224)),
  };
  const say = (answer: Said) => console.log(JSON.stringify(answer));
  say({ versions: `Node.js ${process.versions.node}, sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}` });
  let epoch = 0;
  for await (const task of createInterface({ input: process.stdin })) {
    const start = process.cpuUsage();
    await work[task]!(epoch++);
    const { user, system } = process.cpuUsage(start);
    say({ images: all.length, seconds: (user + system) / 1e6 });
  }
}

/** Steps that take their batches from a loader, by turns with steps on the same batch again while the loader rests. */
async function measureStep(images: string, name: string) {
  const batch = Number(options.batch);
  const model = modelOf(name);
  const { view1, view2 } = mocoViews(model.imageSize);
  const loader = await openLoader({
    source: source(images),
    views: { images: view1, second: view2 }, // the second is made, and left: the work of MoCo v3
    batch,
    seed: 0,
    cacheBytes: 0,
  });
  const step = await openStep(taskOf("encoder", name), {
    batch,
    micro: Math.min(batch, 8),
    backend: cpu({ threads: Number(options.threads) }),
  });
  const seconds = { loading: [] as number[], resting: [] as number[] };
  let waitedMs = 0;
  for (let n = 0; n <= Number(options.rounds); n++) {
    const before = loader.waited();
    const start = performance.now();
    const { fields } = await loader.batch(Math.floor(n / loader.stepsPerEpoch), n % loader.stepsPerEpoch);
    const run = async (number: number) =>
      void (await step.run({ images: fields["images"]! }, { number, rate: 1e-4, progress: 0 }));
    await run(2 * n + 1);
    const middle = performance.now();
    await run(2 * n + 2);
    if (n === 0) continue; // warms up
    seconds.loading.push((middle - start) / 1000);
    seconds.resting.push((performance.now() - middle) / 1000);
    waitedMs += loader.waited() - before;
  }
  await step.release();
  await loader.close();
  const total = seconds.loading.reduce((sum, each) => sum + each, 0);
  console.log(
    `${name}, batch ${batch}, ${options.threads} threads, 1 data worker: median ${median(seconds.loading).toFixed(3)} s a step ` +
      `while the next batch is made, ${median(seconds.resting).toFixed(3)} s while the worker rests; ` +
      `waited for data ${((waitedMs / 1000 / total) * 100).toFixed(2)} % of the time`,
  );
  console.log(`load after: ${load()}`);
}

/** Writes `count` JPEG files of 500 x 375 pixels. */
async function makePhotos(folder: string, count: number) {
  const [width, height] = [500, 375];
  for (let n = 0; n < count; n++) {
    const random = new Random(fold(key(0), "photo", n));
    const [luma, blue, red] = [40, 12, 12].map((deviation) => pinkNoise(random, width, height, deviation));
    for (let shape = 0; shape < 6; shape++) {
      const [x, y, w, h] = [
        random.uniform(0, width),
        random.uniform(0, height),
        random.uniform(10, 120),
        random.uniform(10, 90),
      ];
      const shift = [luma!, blue!, red!].map(
        (plane, p) => [plane, random.uniform(-60, 60) / (p === 0 ? 1 : 2)] as const,
      );
      const power = random.uniform() < 0.5 ? 2 : 20; // an ellipse, or nearly a rectangle
      for (let row = 0; row < height; row++)
        for (let column = 0; column < width; column++)
          if (Math.abs((column - x) / w) ** power + Math.abs((row - y) / h) ** power < 1)
            for (const [plane, change] of shift) plane[row * width + column]! += change;
    }
    const rgb = new Uint8ClampedArray(width * height * 3);
    for (let i = 0; i < width * height; i++) {
      const [y, b, r] = [128 + luma![i]!, blue![i]!, red![i]!];
      rgb.set([y + 1.402 * r, y - 0.344 * b - 0.714 * r, y + 1.772 * b], i * 3);
    }
    const name = `${String(n).padStart(4, "0")}.jpg`;
    await sharp(rgb, { raw: { width, height, channels: 3 } })
      .jpeg({ quality: 90 })
      .toFile(join(folder, name));
  }
}

/** Random values on grids of 256, 128 … 1 pixels, interpolated and added up: equal power in every octave. */
function pinkNoise(random: Random, width: number, height: number, deviation: number): Float32Array {
  const sum = new Float32Array(width * height);
  for (let cell = 256; cell >= 1; cell /= 2) {
    const across = Math.ceil(width / cell) + 1;
    const grid = Float32Array.from({ length: across * (Math.ceil(height / cell) + 1) }, () => random.normal());
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const at = Math.floor(y / cell) * across + Math.floor(x / cell);
        const [right, down] = [(x % cell) / cell, (y % cell) / cell];
        const above = grid[at]! * (1 - right) + grid[at + 1]! * right;
        const below = grid[at + across]! * (1 - right) + grid[at + across + 1]! * right;
        sum[y * width + x]! += (deviation / 3) * (above * (1 - down) + below * down);
      }
  }
  return sum;
}
