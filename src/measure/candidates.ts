/** Who is compared: the encoder after every stage of a run, or that of a checkpoint file, and what each of them has to beat. */
import { existsSync, statSync } from "node:fs";
import { basename } from "node:path";
import { key } from "../tensor/random.ts";
import type { DeviceOptions } from "../backend/device.ts";
import type { VitConfig } from "../nn/vit.ts";
import type { CenterView } from "../data/augmentation/views.ts";
import {
  checkpointSetup,
  createEncoder,
  type Encoder,
  initialParameters,
  loadEncoder,
  pixelFeatures,
} from "../evaluators/encoder.ts";
import { listCheckpoints } from "../run/checkpoint.ts";
import { openRun } from "../run/folder.ts";
import { defineRecipe, type Recipe } from "../recipe/recipe.ts";
import { lossesOf, resolveStage } from "../recipe/stage.ts";

/** What is compared: `random` and `pixels` are what a trained encoder must beat, the rest are the run's stages. */
export interface Candidate {
  readonly name: string;
  readonly title: string;
  open(): Promise<Encoder | Pick<Encoder, "features" | "release">>;
}

/** Device and threads: by default the run's. */
export interface CandidateOptions extends DeviceOptions {
  /**
   * Which encoders: `random`, `pixels`, names of finished stages, and `last` for the last of these.
   * Default: random, pixels and every finished stage.
   */
  readonly encoders?: readonly string[] | undefined;
}

/** The candidates at a path, and the recipe where it is a run folder. */
export function candidatesAt(
  path: string,
  { encoders: names, device, threads }: CandidateOptions,
): { candidates: Candidate[]; recipe?: Recipe } {
  if (existsSync(path) && statSync(path).isFile())
    return { candidates: choose(path, ofCheckpoint(path, { device, threads }), names) };
  const recipe = defineRecipe(openRun(path).recipe);
  const here = { ...recipe, device: device ?? recipe.device, threads: threads ?? recipe.threads };
  return { candidates: candidatesOf(path, here, names), recipe };
}

/** What any encoder of this recipe should beat: the model before training, and colours themselves. */
export function baselines(recipe: Recipe): Candidate[] {
  return baselinesOf({ ...recipe, view: recipe.evaluationView });
}

interface Baseline extends DeviceOptions {
  readonly model: VitConfig;
  readonly view: CenterView;
  readonly seed: number;
}

function baselinesOf({ model, view, seed, device, threads }: Baseline): Candidate[] {
  return [
    {
      name: "random",
      title: "random encoder",
      open: () => createEncoder(model, view, initialParameters(model, key(seed)), { device, threads }),
    },
    {
      name: "pixels",
      title: "raw pixels",
      open: async () => ({ features: pixelFeatures(view), release: async () => undefined }),
    },
  ];
}

/** Random encoder, pixels, and the encoder after every stage that has ended, or those of them that `names` lists. */
export function candidatesOf(dir: string, recipe: Recipe, names?: readonly string[]): Candidate[] {
  const { device, threads } = recipe;
  const trained = listCheckpoints(dir)
    .filter(({ final }) => final)
    .map(({ stage }): Candidate => ({
      name: stage,
      title: titleOf(recipe, stage),
      open: () => loadEncoder(dir, { stage, device, threads }),
    }));
  if (names === undefined && trained.length === 0)
    throw new Error(`no stage of the run in ${dir} has ended yet; let it train to the end first`);
  return choose(`the run in ${dir}`, [...baselines(recipe), ...trained], names);
}

/** Random encoder, pixels, and the encoder in a file. */
function ofCheckpoint(path: string, options: DeviceOptions): Candidate[] {
  const { model, view } = checkpointSetup(path);
  return [
    ...baselinesOf({ model, view, seed: 0, ...options }),
    { name: "checkpoint", title: basename(path, ".safetensors"), open: () => loadEncoder(path, options) },
  ];
}

/** Those that are named, all by default. `last` is the last one that was trained. */
function choose(where: string, all: readonly Candidate[], names?: readonly string[]): Candidate[] {
  const trained = all.filter(({ name }) => name !== "random" && name !== "pixels");
  const chosen = names?.map((name) => {
    const found = name === "last" ? trained.at(-1) : all.find((each) => each.name === name);
    if (found !== undefined) return found;
    const available = [...all.map((each) => each.name), ...(trained.length === 0 ? [] : ["last"])].join(", ");
    throw new Error(`${where} has no ${name} to measure; available: ${available}`);
  });
  return [...new Set(chosen ?? all)];
}

function titleOf(recipe: Recipe, name: string): string {
  const { stages } = recipe;
  const stage = stages.find((each) => each.name === name);
  const { mim, cl } = stage === undefined ? {} : lossesOf(resolveStage(recipe, stage));
  const builds = stage !== undefined && (stage.init.length > 0 || stage !== stages[0]);
  return builds && cl !== undefined && mim === undefined ? "after grafting" : `after ${name.toUpperCase()}`;
}
