/**
 * A run folder:
 *
 *     recipe.json        the resolved recipe             checkpoints/   safetensors, see checkpoint.ts
 *     environment.json   versions, machine, commit, seed samples/       pictures and the JSON beside them, see samples.ts
 *     metrics.jsonl      one row per logged step         evaluation.json, conflict.json, notes.json, report.html
 *     events.out.tfevents.*   the same, for TensorBoard  layers.json, analysis.json, confusion.json, fine-tuned/
 *     start.safetensors  what a run started from, where the weights came from elsewhere
 *     finish.json        where a run ends that is finished early
 *     images.json        how many images it was begun with, and a hash of their names
 *     lock.json          which process writes into it at the moment
 */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { shown } from "../tensor/text.ts";
import { type Environment, environmentSchema } from "./environment.ts";
import { readJson, writeJson } from "./json.ts";
import { lockName } from "./lock.ts";

export interface Run {
  readonly dir: string;
  /** The resolved recipe as it was saved; its schema belongs to the reader. */
  readonly recipe: unknown;
  readonly environment: Environment;
}

/** Starts a run folder. Throws when `dir` already holds anything: a run is never overwritten silently. */
export function createRun(dir: string, contents: { recipe: unknown; environment: Environment }): Run {
  checkFree(dir);
  mkdirSync(join(dir, "checkpoints"), { recursive: true });
  mkdirSync(join(dir, "samples"), { recursive: true });
  writeJson(join(dir, "environment.json"), contents.environment);
  writeJson(join(dir, "recipe.json"), contents.recipe); // last: its presence says that the folder is a run
  return { dir, ...contents };
}

/** Throws one sentence when `dir` holds anything but the lock of who is about to start a run there. */
export function checkFree(dir: string): void {
  if (existsSync(join(dir, "recipe.json")))
    throw new Error(`${dir} already holds a run; resume it with --resume, or choose another --out`);
  const found = existsSync(dir) ? readdirSync(dir).filter((name) => name !== lockName) : [];
  if (found.length > 0)
    throw new Error(
      `${dir} is not empty (it holds ${shown(found[0]!)}) and is not a layergraft run; choose another --out or empty it`,
    );
}

/** Writes down that a run goes on with a changed recipe. */
export function rewriteRecipe(dir: string, recipe: unknown): void {
  writeJson(join(dir, "recipe.json"), recipe);
}

/** Opens a run folder. Throws when `dir` holds no run. */
export function openRun(dir: string): Run {
  const recipe = readJson(join(dir, "recipe.json"), z.unknown());
  const environment = readJson(join(dir, "environment.json"), environmentSchema);
  if (recipe === undefined || environment === undefined) {
    const missing = recipe === undefined ? "recipe.json" : "environment.json";
    const why = existsSync(dir) ? `it has no ${missing}` : "there is no such folder";
    throw new Error(`${dir} holds no run (${why}); give the folder that was --out when the run was made`);
  }
  for (const folder of ["checkpoints", "samples"]) mkdirSync(join(dir, folder), { recursive: true });
  return { dir, recipe, environment };
}
