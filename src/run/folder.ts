/**
 * A run folder:
 *
 *     recipe.json        the resolved recipe             checkpoints/   safetensors, see checkpoint.ts
 *     environment.json   versions, machine, commit, seed samples/       pictures and the JSON beside them, see samples.ts
 *     metrics.jsonl      one row per logged step         evaluation.json, conflict.json, notes.json, report.html
 *     events.out.tfevents.*   the same, for TensorBoard  layers.json, analysis.json, confusion.json, fine-tuned/
 *     start.safetensors  what a run started from, where the weights came from elsewhere
 *     finish.json        where a run ends that is finished early
 */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { removeLeftovers } from "./atomic.ts";
import { type Environment, environmentSchema } from "./environment.ts";
import { readJson, writeJson } from "./json.ts";

export interface Run {
  readonly dir: string;
  /** The resolved recipe as it was saved; its schema belongs to the reader. */
  readonly recipe: unknown;
  readonly environment: Environment;
}

/** Starts a run folder. Throws when `dir` already holds anything: a run is never overwritten silently. */
export function createRun(dir: string, contents: { recipe: unknown; environment: Environment }): Run {
  if (existsSync(join(dir, "recipe.json")))
    throw new Error(`${dir} already holds a run; resume it with --resume, or choose another --out`);
  const found = existsSync(dir) ? readdirSync(dir) : [];
  if (found.length > 0)
    throw new Error(
      `${dir} is not empty (it holds ${found[0]}) and is not a layergraft run; choose another --out or empty it`,
    );
  mkdirSync(join(dir, "checkpoints"), { recursive: true });
  mkdirSync(join(dir, "samples"), { recursive: true });
  writeJson(join(dir, "environment.json"), contents.environment);
  writeJson(join(dir, "recipe.json"), contents.recipe); // last: its presence says that the folder is a run
  return { dir, ...contents };
}

/** Opens a run folder and clears what killed processes left in it. Throws when `dir` holds no run. */
export function openRun(dir: string): Run {
  const recipe = readJson(join(dir, "recipe.json"), z.unknown());
  const environment = readJson(join(dir, "environment.json"), environmentSchema);
  if (recipe === undefined || environment === undefined) {
    const missing = recipe === undefined ? "recipe.json" : "environment.json";
    const why = existsSync(dir) ? `it has no ${missing}` : "there is no such folder";
    throw new Error(`${dir} holds no run (${why}); give the folder that was --out when the run was made`);
  }
  for (const folder of [dir, join(dir, "checkpoints"), join(dir, "samples")]) {
    mkdirSync(folder, { recursive: true });
    removeLeftovers(folder);
  }
  return { dir, recipe, environment };
}
