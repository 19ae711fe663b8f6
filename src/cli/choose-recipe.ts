/** From the options of `layergraft pretrain` to a recipe: chosen for the images, or read from a file, then adjusted. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import * as z from "zod";
import { openSource, type Source, type SourceInput } from "../data/source.ts";
import type { CenterView } from "../data/views.ts";
import type { PatchDrop } from "../objectives/mocov3.ts";
import { automatic } from "../recipes/automatic.ts";
import { type Method, methods } from "../recipes/methods.ts";
import { readJson } from "../run/json.ts";
import { defineRecipe, evaluationViewOf, type Recipe, type RecipeInput } from "../train/recipe.ts";
import { sourceAt } from "./data.ts";
import { describeImport } from "./import.ts";
import { applySettings, type Setting } from "./options.ts";
import type { Output } from "./progress.ts";
import { fitsDecoder, fitToStart, openStart, type Start, startFrom, takesFirstStage } from "./start.ts";

export interface RecipeOptions {
  /** The name of a method or the path of a recipe file. */
  readonly recipe: string;
  readonly model?: string;
  readonly imageSize?: number;
  readonly patchSize?: number;
  readonly epochs?: number;
  readonly batch?: number;
  readonly learningRate?: number;
  readonly hours?: number;
  readonly seed?: number;
  readonly threads?: number;
  readonly init?: string;
  /** Of the encoder in `init`, where the file cannot tell. */
  readonly heads?: number;
  readonly set?: readonly Setting[];
  readonly parent?: string;
  readonly mim?: "mae" | "simmim";
  readonly cl?: "mocov3" | "simclr" | "vicreg";
  readonly maskRatio?: number;
  readonly normPix?: boolean;
  readonly temperature?: number;
  readonly momentum?: number;
  readonly patchDrop?: number;
  readonly contrastiveMae?: number;
  readonly rates?: readonly number[];
  readonly layerDecay?: number;
  readonly fixTo?: number;
  readonly freshEnd?: boolean;
  readonly endFrom?: string;
  readonly l1Anchor?: { readonly weight: number; readonly blocks: number };
  readonly knn?: number | false;
}

/** Options that a recipe file says for itself. */
export const methodOptions = [
  ...([
    "parent",
    "mim",
    "cl",
    "maskRatio",
    "normPix",
    "temperature",
    "momentum",
    "patchDrop",
    "contrastiveMae",
  ] as const),
  ...(["rates", "layerDecay", "fixTo", "freshEnd", "endFrom", "l1Anchor", "knn"] as const),
] as const;

/** Whether somebody wrote the option; commander sets `--no-…` options to true by itself. */
export function isGiven(options: Partial<RecipeOptions>, name: keyof RecipeOptions): boolean {
  return name === "normPix" ? options.normPix === false : options[name] !== undefined;
}

/** A checked recipe, and the file of `--init` that it starts from. */
export interface Chosen {
  readonly recipe: Recipe;
  readonly start?: Start;
}

/** The checked recipe, said in a few lines. Throws one sentence when the options and the images do not go together. */
export async function chooseRecipe(images: string, options: RecipeOptions, output: Output): Promise<Chosen> {
  const data = await sourceAt(images);
  const source = await openSource(data);
  const count = source.length.toLocaleString("en");
  const classes = source.classes.length > 0 ? `, ${source.classes.length} classes (used for evaluation only)` : "";
  output.say(`${count} images in ${images}${classes}`);

  const { recipe: name, seed, threads, init, set = [] } = options;
  if (init === undefined && options.heads !== undefined)
    throw new Error("--heads says how many heads the encoder in --init has; give --init too");
  const start = init === undefined ? undefined : await openStart(init, options);
  const chosenMethod = Object.keys(methods).find((each): each is Method => each === name);
  let chosen =
    chosenMethod === undefined ? fromFile(data, options) : await forImages(data, source, chosenMethod, options, start);
  chosen = { ...chosen, ...defined({ seed, threads }) };
  const skipped = start !== undefined && chosenMethod !== undefined && takesFirstStage(start, chosenMethod);
  if (start !== undefined && !skipped) chosen = startFrom(chosen, start.path);
  const recipe = defineRecipe(applySettings(chosen, set));
  if (start !== undefined) {
    const { own, report } = start;
    if (!own) output.say(describeImport(report));
    const { name: stage, objective } = recipe.stages[0]!;
    // a checkpoint of ours that is silent about its decoder has it loaded where it fits
    const silent = objective.kind !== "mae" || (own && report.decoder === undefined);
    const decoder = silent ? "" : fitsDecoder(start, recipe) ? ", with its decoder" : ", with a fresh decoder";
    const said = ({ mean, std }: CenterView) => `mean ${mean.join(", ")} and std ${std.join(", ")}`;
    const [asked, known] = [said(evaluationViewOf(recipe)), said(report.view)];
    if (asked !== known) output.say(`${name} normalises images by ${asked}, but the encoder was trained with ${known}`);
    output.say(
      skipped
        ? `stage mim is skipped: ${init} holds a MIM encoder (${report.title})`
        : `stage ${stage} starts from ${init} (${report.title})${decoder}`,
    );
  }

  const available = Math.min(source.length, recipe.limit ?? Infinity);
  const batch = Math.max(options.batch ?? 0, ...recipe.stages.map((stage) => stage.batch));
  if (batch > available)
    throw new Error(
      `a batch of ${batch} is larger than the data set of ${available} images; set it to ${available} or less`,
    );
  const { imageSize, patchSize, width, depth, heads } = recipe.model;
  output.say(`model ${imageSize} px, patch ${patchSize}, width ${width}, depth ${depth}, heads ${heads}`);
  for (const stage of recipe.stages)
    output.say(
      `  ${stage.name.padEnd(4)} ${stage.epochs} epochs, batch ${stage.batch}, learning rate ${stage.learningRate} (for 256)`,
    );
  return { recipe, ...defined({ start }) };
}

async function forImages(
  data: SourceInput,
  source: Source,
  name: Method,
  options: RecipeOptions,
  start: Start | undefined,
): Promise<RecipeInput> {
  const { imageSize, patchSize, epochs, batch, learningRate, hours } = options;
  const {
    maskRatio,
    normPix,
    temperature,
    momentum,
    rates,
    layerDecay,
    fixTo,
    freshEnd,
    l1Anchor,
    knn: watch,
  } = options;
  const [given, endFrom] = [checkpoint("parent", options.parent), checkpoint("end-from", options.endFrom)];
  const first = start !== undefined && takesFirstStage(start, name) ? start.path : undefined;
  if (given !== undefined && first !== undefined)
    throw new Error(
      `--init ${options.init} holds a MIM encoder and takes the place of the first stage, as --parent does; give one`,
    );
  const parent = given ?? first;
  const model = start?.report.model ?? options.model;
  const grafting = ["parent", "rates", "layerDecay", "fixTo", "freshEnd", "endFrom", "l1Anchor"] as const;
  const unused = grafting.find((each) => isGiven(options, each));
  if (unused !== undefined && (name === "mim" || name === "cl" || name === "mtl"))
    throw new Error(`--${dashed(unused)} says how a second stage builds on the first, but ${name} has one stage`);
  const recipe = automatic({
    data,
    method: name,
    mim: defined({ objective: options.mim, maskRatio, ...(normPix === false ? { normPix } : {}) }),
    cl: defined({ objective: options.cl, temperature, momentum, patchDrop: patchDropOf(options) }),
    graft: defined({ rates, layerDecay, fixTo, freshEnd, endFrom, l1Anchor }),
    images: source.length,
    shortSide: await typicalShortSide(source),
    ...defined({ model, imageSize, patchSize, batch, learningRate, hours, parent, watch }),
    ...(epochs === undefined ? {} : { epochs: { mim: epochs, cl: epochs } }),
  });
  return start === undefined ? recipe : fitToStart(recipe, start);
}

/** A recipe file on these images, whatever images it was written for. */
function fromFile(data: SourceInput, options: RecipeOptions): RecipeInput {
  const file = options.recipe;
  const sizes = ["model", "imageSize", "patchSize", "epochs", "batch", "learningRate", "hours"] as const;
  const unused = [...sizes, ...methodOptions].find((name) => isGiven(options, name));
  if (!existsSync(file))
    throw new Error(
      `there is no recipe ${file}; available: ${Object.keys(methods).join(", ")}, or the path of a recipe.json`,
    );
  if (unused !== undefined)
    throw new Error(`${file} says what --${dashed(unused)} would; change it there, or with --set`);
  const recipe = defineRecipe({ data, ...readJson(file, z.record(z.string(), z.unknown())) });
  if (data.kind !== "folder" && data.kind !== "list") return { ...recipe, data };
  const shortSide = "shortSide" in recipe.data ? recipe.data.shortSide : undefined;
  return { ...recipe, data: { ...data, shortSide: shortSide ?? 2 * recipe.model.imageSize } };
}

function patchDropOf({ patchDrop, contrastiveMae }: RecipeOptions): PatchDrop | undefined {
  if (patchDrop !== undefined && contrastiveMae !== undefined)
    throw new Error("--patch-drop and --contrastive-mae both say which patches CL sees; give one of them");
  if (patchDrop !== undefined) return { ratio: patchDrop, keys: "same" };
  return contrastiveMae === undefined ? undefined : { ratio: contrastiveMae, keys: "all" };
}

/** The whole path of a checkpoint that an option names. */
function checkpoint(option: string, path: string | undefined): string | undefined {
  if (path !== undefined && !existsSync(path)) throw new Error(`--${option}: there is no file ${path}`);
  return path === undefined ? undefined : resolve(path);
}

/** Median shorter side of some images that can be read. */
async function typicalShortSide(source: Source): Promise<number> {
  const sides: number[] = [];
  const stride = Math.max(1, Math.floor(source.length / 16));
  for (let i = 0; i < source.length && sides.length < 16; i += stride) {
    const pixels = await source.load(i).catch(() => undefined);
    if (pixels !== undefined) sides.push(Math.min(pixels.width, pixels.height));
  }
  return sides.sort((a, b) => a - b)[Math.floor(sides.length / 2)] ?? 224;
}

/** `imageSize` → `image-size`. */
export function dashed(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Without the keys whose value is undefined. */
function defined<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
