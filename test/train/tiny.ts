/** A recipe of a second: two stages on synthetic images, the second grafted on the first. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { centerCrop, maeView, mocoViews, noise } from "../../src/data/augmentation/views.ts";
import { stages } from "../../src/optim/groups.ts";
import { createRun, openRun } from "../../src/run/folder.ts";
import { locked } from "../../src/run/lock.ts";
import { readMetrics } from "../../src/run/metrics.ts";
import { keepImages } from "../../src/train/images.ts";
import { train } from "../../src/train/loop.ts";
import type { TrainEvent } from "../../src/train/events.ts";
import { defineRecipe, type RecipeInput } from "../../src/recipe/recipe.ts";
import { environment } from "../run/temporary.ts";

export interface TinyOptions {
  readonly seed?: number;
  readonly workers?: number;
  readonly epochs?: number;
  readonly microBatch?: number;
  readonly learningRate?: number;
}

/** 48 images, batch 8: 6 steps an epoch. A checkpoint every 4 steps. */
export function tiny(options: TinyOptions = {}) {
  const { mim, cl } = tinyStages(options);
  const grafted = {
    ...cl,
    rates: [{ match: "patch_embed\\.", frozen: true }, ...stages(2, [0.1, 1])],
    init: [{ stage: "mim", to: "base_encoder." }],
  };
  return { ...setting(options), stages: [mim, grafted] } satisfies RecipeInput;
}

/** The same with both losses in one stage. */
export function tinyJoint(options: TinyOptions = {}) {
  const { mim, cl } = tinyStages(options);
  const objective = { kind: "joint" as const, mim: mim.objective, cl: cl.objective };
  const stage = { ...cl, name: "mtl", objective, views: { ...mim.views, ...cl.views } };
  return { ...setting(options), stages: [stage] } satisfies RecipeInput;
}

/** Each loss as a stage that starts from nothing. */
export function tinyStages({ epochs = 2, microBatch = 8, learningRate = 0.01 }: TinyOptions = {}) {
  const timing = { epochs, batch: 8, learningRate, warmup: 0.5 };
  const mim = {
    name: "mim",
    objective: { kind: "mae", decoderWidth: 16, decoderDepth: 1, decoderHeads: 2 },
    views: { images: maeView(16), noise: noise(4) },
    ...timing,
    microBatch,
    optimizer: { kind: "adamw", betas: [0.9, 0.95], weightDecay: 0.05 },
  } satisfies StageInput;
  const cl = {
    name: "cl",
    objective: { kind: "mocov3", mlpDim: 24, dim: 8 },
    views: mocoViews(16),
    ...timing,
    microBatch: 8,
    optimizer: { kind: "adamw", betas: [0.9, 0.999], weightDecay: 0.1 },
  } satisfies StageInput;
  return { mim, cl };
}

type StageInput = RecipeInput["stages"][number];

function setting({ seed = 0, workers = 0 }: TinyOptions) {
  return {
    name: "tiny",
    seed,
    workers,
    threads: 1,
    checkpointSteps: 4,
    data: { kind: "synthetic", length: 48, size: 16 },
    model: { imageSize: 16, patchSize: 8, width: 16, depth: 2, heads: 2 },
    evaluationView: centerCrop(16, { resize: 16 }),
  } satisfies Omit<RecipeInput, "stages">;
}

/** An empty folder that goes when the tests of a file have ended. */
export function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "layergraft-train-"));
  folders.push(folder);
  return folder;
}

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A run in a folder of its own, trained in this process to its end or until an event for which `until` holds. */
export async function trainHere(input: RecipeInput, until?: (event: TrainEvent) => boolean): Promise<string> {
  const out = join(temporary(), "run");
  const recipe = defineRecipe(input);
  createRun(out, { recipe, environment });
  await keepImages(out, recipe);
  let stop = false;
  const emit = (event: TrainEvent) => void (stop ||= until?.(event) ?? false);
  await train(out, recipe, { resume: false, emit, stopRequested: () => stop });
  return out;
}

/** Goes on with a run, in this process, to its end; returns what it told. */
export async function resumeHere(out: string): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  const emit = (event: TrainEvent) => void events.push(event);
  const recipe = defineRecipe(openRun(out).recipe);
  await locked(out, "test", () => train(out, recipe, { resume: true, emit, stopRequested: () => false }));
  return events;
}

/** File name → SHA-256 of the final checkpoints. */
export function finalHashes(dir: string): Record<string, string> {
  const folder = join(dir, "checkpoints");
  const finals = readdirSync(folder).filter((name) => name.includes(".final."));
  const hash = (name: string) =>
    createHash("sha256")
      .update(readFileSync(join(folder, name)))
      .digest("hex");
  return Object.fromEntries(finals.sort().map((name) => [name, hash(name)]));
}

/** The metrics without what the clock says. */
export function timelessMetrics(dir: string) {
  const byClock = ["imagesPerSecond", "secondsPerStep"];
  return readMetrics(dir).map((row) =>
    Object.fromEntries(Object.entries(row).filter(([name]) => !byClock.includes(name))),
  );
}
