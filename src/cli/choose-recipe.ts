/** From the options of `layergraft pretrain` to a recipe: chosen for the images, or read from a file, then adjusted. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import * as z from "zod";
import { openSource, type Source } from "../data/source.ts";
import { automatic } from "../recipes/automatic.ts";
import { readWeights } from "../run/checkpoint.ts";
import { readJson } from "../run/json.ts";
import { defineRecipe, type Recipe, type RecipeInput } from "../train/recipe.ts";
import { applySettings, type Setting } from "./options.ts";
import type { Output } from "./progress.ts";

export interface RecipeOptions {
  /** `layer-grafted` or the path of a recipe file. */
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
  readonly set?: readonly Setting[];
}

/** The checked recipe, said in a few lines. Throws one sentence when the options and the images do not go together. */
export async function chooseRecipe(images: string, options: RecipeOptions, output: Output): Promise<Recipe> {
  const path = resolve(images);
  const source = await openSource({ kind: "folder", path });
  const count = source.length.toLocaleString("en");
  const classes = source.classes.length > 0 ? `, ${source.classes.length} classes (used for evaluation only)` : "";
  output.say(`${count} images in ${images}${classes}`);

  const { recipe: name, seed, threads, init, set = [] } = options;
  let chosen = name === "layer-grafted" ? await forImages(path, source, options) : fromFile(path, options);
  chosen = { ...chosen, ...defined({ seed, threads }) };
  if (init !== undefined) chosen = startFrom(chosen, init);
  const recipe = defineRecipe(applySettings(chosen, set));

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
  return recipe;
}

async function forImages(path: string, source: Source, options: RecipeOptions): Promise<RecipeInput> {
  const { model, imageSize, patchSize, epochs, batch, learningRate, hours } = options;
  return automatic({
    data: { kind: "folder", path },
    images: source.length,
    shortSide: await typicalShortSide(source),
    ...defined({ model, imageSize, patchSize, batch, learningRate, hours }),
    ...(epochs === undefined ? {} : { epochs: { mim: epochs, cl: epochs } }),
  });
}

/** A recipe file on these images, whatever images it was written for. */
function fromFile(path: string, options: RecipeOptions): RecipeInput {
  const file = options.recipe;
  const unused = (["model", "imageSize", "patchSize", "epochs", "batch", "learningRate", "hours"] as const).find(
    (name) => options[name] !== undefined,
  );
  if (!existsSync(file))
    throw new Error(`there is no recipe ${file}; available: layer-grafted, or the path of a recipe.json`);
  if (unused !== undefined)
    throw new Error(`${file} says what --${dashed(unused)} would; change it there, or with --set`);
  const data = { kind: "folder", path } as const;
  const recipe = defineRecipe({ data, ...readJson(file, z.record(z.string(), z.unknown())) });
  const shortSide = recipe.data.kind === "folder" ? recipe.data.shortSide : undefined;
  return { ...recipe, data: { ...data, shortSide: shortSide ?? 2 * recipe.model.imageSize } };
}

/** The recipe with its first stage starting from the encoder in a checkpoint. */
function startFrom(recipe: RecipeInput, path: string): RecipeInput {
  if (!existsSync(path)) throw new Error(`--init: there is no file ${path}`);
  const from = readWeights(path, () => false).metadata["encoder"] ?? "";
  const [first, ...rest] = recipe.stages;
  const to = first!.objective.kind === "mae" ? "" : "base_encoder.";
  const init = [...(first!.init ?? []), { path: resolve(path), from, to }];
  return { ...recipe, stages: [{ ...first!, init }, ...rest] };
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
