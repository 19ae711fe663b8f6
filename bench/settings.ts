/**
 * Which settings make the best encoder for the same cost? Trains MIM, grafts MoCo v3 on it, for as many epochs as a budget
 * buys, and measures both encoders on validation images.
 *
 *     node dist/bench/settings.js --settings today,crop20+gray0 --seeds 0,1,2 --budget 200
 *     node dist/bench/settings.js --settings baselines               # a random encoder and pixels, of today's model
 *
 * Settings are lines of `settings.jsonl`; of several with `+` between them the later one goes before. The budget is
 * counted in operations and given in seconds (see `secondsOf`). What the results file has is not measured again.
 */
import { createHash } from "node:crypto";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openSource, type SourceInput } from "../src/data/sources/open.ts";
import { createEncoder, initialParameters, loadEncoder, pixelFeatures } from "../src/evaluators/encoder.ts";
import { smallImages, trainingDrawings } from "../src/methods/demo.ts";
import { type ClOptions, method, type MethodOptions } from "../src/methods/methods.ts";
import { defineRecipe } from "../src/recipe/recipe.ts";
import { listCheckpoints } from "../src/run/checkpoint.ts";
import { describeEnvironment } from "../src/run/environment.ts";
import { key } from "../src/tensor/random.ts";
import { stepOperations } from "../src/cost/work.ts";
import { type ResolvedStage, resolveStages } from "../src/recipe/stage.ts";
import { pretrain } from "../src/train/pretrain.ts";
import { scoresOf, validationQuestions } from "./on-validation.ts";

interface Setting {
  readonly model: MethodOptions["model"];
  readonly mim: Omit<MethodOptions["mim"], "epochs">;
  /** `view` changes both views. */
  readonly cl: Omit<ClOptions, "epochs"> & { readonly view?: object };
  readonly graft: NonNullable<MethodOptions["graft"]>;
  /** Share of the budget that goes to MIM. */
  readonly mimShare: number;
}
type Epochs = Record<"mim" | "cl", number>;
type Json = { readonly [name: string]: unknown };

const { values: given } = parseArgs({
  options: {
    settings: { type: "string", default: "today" },
    data: { type: "string", default: "emoji" }, // or a folder with a subfolder per class
    seeds: { type: "string", default: "0" },
    budget: { type: "string", default: "200" },
    shots: { type: "string", default: "1,5" },
    threads: { type: "string", default: "1" },
    out: { type: "string", default: "bench/results/drawings.jsonl" },
    kept: { type: "string", default: join(tmpdir(), "layergraft-settings") }, // encoders after MIM, for other grafts
    probes: { type: "boolean", default: false }, // linear ones take longer than all else that is measured
    mean: { type: "boolean", default: false }, // also measure the mean of the patches
  },
});
const budget = Number(given.budget);
const threads = Number(given.threads);
const shots = given.shots.split(",").map((shot) => (shot.endsWith("%") ? (shot as `${number}%`) : Number(shot)));
const data: SourceInput = given.data === "emoji" ? trainingDrawings : { kind: "folder", path: given.data };
const changes = new Map(
  linesOf("bench/settings.jsonl").map(({ name, ...change }) => [name as string, change] as const),
);
const { cpu, commit } = describeEnvironment({ seed: 0, onnxruntime: "" });
mkdirSync(given.kept, { recursive: true });
for (const seed of given.seeds.split(",").map(Number))
  for (const name of given.settings.split(",")) {
    if (name === "baselines") await measureBaselines();
    else await measure(name, seed);
  }

async function measure(name: string, seed: number): Promise<void> {
  const isSame = (line: Json) =>
    line["setting"] === name && line["seed"] === seed && line["budget"] === budget && line["data"] === given.data;
  if (known().some(isSame)) return;
  const setting = settingOf(name);
  const { length } = await openSource(data);
  const resolved = resolveStages(defineRecipe(method("layer-grafted", optionsOf(setting, { mim: 1, cl: 1 }, seed))));
  const epochsOf = (stage: ResolvedStage, share: number) =>
    Math.round((10 * budget * share) / secondsOf(stage) / Math.floor(length / stage.batch)) / 10;
  const { mimShare } = setting;
  const epochs = { mim: epochsOf(resolved[0]!, mimShare), cl: epochsOf(resolved[1]!, 1 - mimShare) };
  const start = performance.now();

  const dir = mkdtempSync(join(tmpdir(), "layergraft-setting-"));
  const options = optionsOf(setting, epochs, seed);
  const { mim, model } = options;
  const id = createHash("sha256").update(JSON.stringify({ data, model, mim, seed })).digest("hex").slice(0, 16);
  const parent = join(given.kept, `${id}.safetensors`);
  if (!existsSync(parent)) {
    await pretrain({ recipe: { ...method("mim", { ...options, graft: {} }), threads }, out: join(dir, "mim") });
    copyFileSync(listCheckpoints(join(dir, "mim")).at(-1)!.path, parent);
  }
  await pretrain({ recipe: { ...method("layer-grafted", { ...options, parent }), threads }, out: join(dir, "cl") });
  const minutes = Math.round((performance.now() - start) / 6000) / 10;
  const scores = {
    mim: await scoresOnce(parent),
    cl: await scoresAt(join(dir, "cl")),
    ...(given.mean ? { clMean: await scoresAt(join(dir, "cl"), "mean") } : {}),
  };
  rmSync(dir, { recursive: true });
  add({ setting: name, data: given.data, seed, budget, epochs, scores, minutes, cpu, commit });
  console.log(`${name}, seed ${seed}, ${epochs.mim} : ${epochs.cl} epochs, ${minutes} minutes`);
  console.log(scores.cl);
}

/** Scores of an encoder that is kept: measured for the first graft on it. */
async function scoresOnce(path: string): ReturnType<typeof scoresAt> {
  const file = `${path}.${given.probes ? "probes" : "scores"}.json`;
  if (!existsSync(file)) writeFileSync(file, JSON.stringify(await scoresAt(path)));
  return JSON.parse(readFileSync(file, "utf8")) as Awaited<ReturnType<typeof scoresAt>>;
}

/** Scores of an encoder's class token, or of the mean of its patches. */
async function scoresAt(path: string, pooling: "cls" | "mean" = "cls") {
  let encoder = await loadEncoder(path, { threads });
  if (pooling === "mean") {
    const { model, view, parameters } = encoder;
    await encoder.release();
    const renamed = [...parameters].map(([name, value]) => [name.replace(/^norm\./, "fc_norm."), value] as const);
    encoder = await createEncoder(model, view, new Map(renamed), { threads });
  }
  const questions = await validationQuestions(data);
  const scores = await scoresOf(questions, await encoder.features(questions.source), {
    shots,
    threads,
    probes: given.probes,
  });
  await encoder.release();
  return scores;
}

async function measureBaselines(): Promise<void> {
  if (known().some(({ setting, data }) => setting === "pixels" && data === given.data)) return;
  const { model } = settingOf("today");
  const view = defineRecipe(method("mim", optionsOf(settingOf("today"), { mim: 1, cl: 1 }, 0))).evaluationView;
  const questions = await validationQuestions(data);
  const random = await createEncoder(model, view, initialParameters(model, key(0)), { threads });
  const all = {
    random: await random.features(questions.source),
    pixels: await pixelFeatures(view)(questions.source),
  };
  await random.release();
  for (const [setting, features] of Object.entries(all))
    add({
      setting,
      data: given.data,
      seed: 0,
      cpu,
      commit,
      scores: { cl: await scoresOf(questions, features, { shots, threads, probes: given.probes }) },
    });
}

/**
 * Seconds of a step on two cores of an AMD EPYC without AVX-512, by the operations in it and what every step takes: a step of
 * today's settings is 0.048 s of MIM and 0.2 s of CL there. What else runs on a machine changes no budget.
 */
function secondsOf(stage: ResolvedStage): number {
  return 0.015 + stepOperations(stage) / 60e9;
}

function settingOf(name: string): Setting {
  const parts = name.split("+").map((part) => {
    const found = changes.get(part);
    if (found === undefined) throw new Error(`no setting ${part}; there are: ${[...changes.keys()].join(", ")}`);
    return found;
  });
  return parts.reduce(merged, { ...smallImages, mimShare: 0.26 }) as unknown as Setting;
}

/** `a` changed by `b`; null takes an option out. */
function merged(a: Json, b: Json): Json {
  const isObject = (x: unknown): x is Json => typeof x === "object" && x !== null && !Array.isArray(x);
  const changed = Object.entries(b).map(([name, value]) => {
    const before = a[name];
    return [name, isObject(before) && isObject(value) ? merged(before, value) : value];
  });
  const all = { ...a, ...(Object.fromEntries(changed) as Json) };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
}

function optionsOf({ model, mim, cl: { view, ...cl }, graft }: Setting, epochs: Epochs, seed: number): MethodOptions {
  const views = { view1: { ...cl.views?.view1, ...view }, view2: { ...cl.views?.view2, ...view } };
  return {
    data,
    model,
    seed,
    resize: model.imageSize,
    watch: false,
    mim: { ...mim, epochs: epochs.mim },
    cl: { ...cl, views, epochs: epochs.cl },
    graft,
  };
}

function known(): Json[] {
  return existsSync(given.out) ? linesOf(given.out) : [];
}

function linesOf(path: string): Json[] {
  const lines = readFileSync(path, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Json);
}

function add(line: Json): void {
  appendFileSync(given.out, `${JSON.stringify(line)}\n`);
}
