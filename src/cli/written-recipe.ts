/** Recipes that are written down, the paper's and those in files; and what can be said of any recipe. */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import * as z from "zod";
import { kindOf, type SourceInput } from "../data/sources/open.ts";
import { methods } from "../methods/methods.ts";
import { paper, paperMethod, paperRecipes } from "../methods/paper.ts";
import { readJson } from "../run/json.ts";
import { withBatch } from "../cost/micro-batch.ts";
import { defineRecipe, type Recipe, type RecipeInput } from "../recipe/recipe.ts";
import { applySettings } from "./options.ts";
import {
  defined,
  isGiven,
  isMethod,
  isPaper,
  kebabCase,
  methodOptions,
  type RecipeOptions,
  sizeOptions,
} from "./recipe-options.ts";
import { fitToStart, type Start, takesFirstStage } from "./start.ts";

/** A recipe to plan with when there are no images: one of the paper's or a recipe file. Throws when it is a method. */
export function recipeWithoutImages(options: RecipeOptions): Recipe {
  if (isMethod(options.recipe))
    throw new Error(`${options.recipe} chooses model, batch and epochs for the images: give --data IMAGES`);
  return withCommonOptions(namedRecipe({ kind: "synthetic" }, options), options);
}

/** The checked recipe with what can be said of any. */
export function withCommonOptions(
  chosen: RecipeInput,
  { seed, device, threads, maxBadShare, batch, microBatch, recompute, set = [], recipe: name }: RecipeOptions,
): Recipe {
  const known = device === "auto" ? undefined : device;
  const changed = { ...chosen, ...defined({ seed, device: known, threads, maxBadShare }) };
  // a method has chosen its learning rate for the batch already
  const sized = { batch: isMethod(name) ? undefined : batch, microBatch, recompute };
  const unsized = Object.values(sized).every((each) => each === undefined);
  return defineRecipe(applySettings(unsized ? changed : withBatch(defineRecipe(changed), sized), set));
}

/** A recipe of the paper or of a file on these images, whatever images it was written for. */
export function namedRecipe(data: SourceInput, options: RecipeOptions, start?: Start): RecipeInput {
  const { recipe: name, parent } = options;
  if (!isPaper(name) && !existsSync(name))
    throw new Error(
      `there is no recipe ${name}; available: ${[...Object.keys(methods), ...Object.keys(paperRecipes)].join(", ")}, ` +
        "or the path of a recipe.json",
    );
  const unused = [...sizeOptions, ...methodOptions].find(
    (each) => isGiven(options, each) && !(isPaper(name) && each === "parent"),
  );
  if (unused !== undefined)
    throw new Error(
      `${name} says what --${kebabCase(unused)} would; change it ${isPaper(name) ? "" : "there, or "}with --set`,
    );
  if (isPaper(name)) {
    const first = start !== undefined && takesFirstStage(start, paperMethod(name)) ? start.path : undefined;
    const given = firstStage(checkpoint("parent", parent), first, options);
    const recipe = paper(name, { data, ...defined({ parent: given }) });
    const reduced = { ...recipe, data: withShortSide(data, recipe.model.imageSize) };
    return start === undefined ? reduced : fitToStart(reduced, start);
  }
  const read = readJson(name, z.record(z.string(), z.unknown())) ?? {};
  const recipe = defineRecipe({ data, ...(withModules(read, dirname(name)) as typeof read) });
  const shortSide = "shortSide" in recipe.data ? recipe.data.shortSide : undefined;
  return { ...recipe, data: withShortSide(data, recipe.model.imageSize, shortSide) };
}

/** A part of a recipe file. Objectives in modules are looked for beside the file, from whatever folder it is read. */
function withModules(part: unknown, folder: string): unknown {
  if (Array.isArray(part)) return part.map((each) => withModules(each, folder));
  if (typeof part !== "object" || part === null) return part;
  const entries = Object.entries(part).map(([key, value]) => [key, withModules(value, folder)] as const);
  const copy: Record<string, unknown> = Object.fromEntries(entries);
  const { kind, path } = copy;
  return kind === "module" && typeof path === "string" ? { ...copy, path: resolve(folder, path) } : copy;
}

/** Image files are reduced when they are decoded, to twice what the model sees. */
function withShortSide(data: SourceInput, imageSize: number, shortSide = 2 * imageSize): SourceInput {
  return kindOf(data).reduced?.(data, shortSide) ?? data;
}

/** The checkpoint that takes the place of the first stage. */
export function firstStage(
  parent: string | undefined,
  start: string | undefined,
  { init }: RecipeOptions,
): string | undefined {
  if (parent !== undefined && start !== undefined)
    throw new Error(
      `--init ${init} holds a MIM encoder and takes the place of the first stage, as --parent does; give one`,
    );
  return parent ?? start;
}

/** The whole path of a checkpoint that an option names. */
export function checkpoint(option: string, path: string | undefined): string | undefined {
  if (path !== undefined && !existsSync(path)) throw new Error(`--${option}: there is no file ${path}`);
  return path === undefined ? undefined : resolve(path);
}
