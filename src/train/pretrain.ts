import { fork } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { launched } from "../collective/launch.ts";
import { inherited } from "../collective/inherit.ts";
import type { Device } from "../backend/device.ts";
import { runtimeVersion } from "../backend/executable.ts";
import type { SourceInput } from "../data/sources/open.ts";
import { describeEnvironment } from "../run/environment.ts";
import { checkFree, createRun, openRun, rewriteRecipe } from "../run/folder.ts";
import { locked } from "../run/lock.ts";
import { writeSamples } from "../run/samples.ts";
import type { Command, Report } from "./child.ts";
import { layerRates } from "../graft/layer-rates.ts";
import type { TrainEvent } from "./events.ts";
import { decideFinish } from "./finish.ts";
import { keepImages, withSameImages } from "./images.ts";
import { resolveStages } from "../recipe/stage.ts";
import { defineRecipe, type Recipe, type RecipeInput } from "../recipe/recipe.ts";

export interface PretrainOptions {
  /** What to run; left out when resuming, since the run folder has it. */
  readonly recipe?: RecipeInput;
  /** The run folder. */
  readonly out: string;
  /** Puts files that the recipe names into the folder of a new run, before training. */
  readonly prepare?: (dir: string) => Promise<void>;
  /** Continue the run in `out` from its newest checkpoint, with the recipe it was started with. */
  readonly resume?: boolean;
  /**
   * With `resume`: anneal the stage that was stopped in a tenth of the steps it has taken, and end the run there, whatever
   * stages it has left. The run folder keeps it, so that a finish that is interrupted is resumed as any run.
   */
  readonly finish?: boolean;
  /** With `resume`: the run's images, where they lie elsewhere now. The run folder keeps it. */
  readonly data?: SourceInput | undefined;
  /** Share of unreadable images to put up with; default: what the recipe says. The run folder keeps it. */
  readonly maxBadShare?: number | undefined;
  /** What computes; default: what the recipe says. A run may go on on another device than it was begun on. */
  readonly device?: Device | undefined;
  readonly onEvent?: (event: TrainEvent) => void;
  /** Aborting saves a checkpoint and ends the run early. */
  readonly signal?: AbortSignal;
  /** The command line to record. */
  readonly command?: string;
}

export interface PretrainResult {
  readonly dir: string;
  readonly recipe: Recipe;
  /** False when the run was asked to stop before its end. */
  readonly finished: boolean;
}

/**
 * Pre-trains in a process of its own and leaves checkpoints and metrics in the run folder.
 * Rejects with one sentence when the recipe is wrong, the folder is taken, or training fails. A new run that fails before
 * its first step leaves no trace.
 */
export async function pretrain(options: PretrainOptions): Promise<PretrainResult> {
  const { out: dir, resume = false, finish = false, data, recipe: input, command = "layergraft" } = options;
  if (finish && !resume) throw new Error("only a run that was stopped can be finished early: give resume, too");
  if (data !== undefined && !resume) throw new Error("the images of a new run are those of its recipe");
  if (resume) openRun(dir);
  else {
    if (input === undefined) throw new Error("a new run needs a recipe");
    checkFree(dir);
    mkdirSync(dir, { recursive: true });
  }
  return locked(dir, command, async (lock) => {
    const saved = resume ? await continueRun(options) : await startRun(dir, input!, options);
    const recipe = options.device === undefined ? saved : { ...saved, device: options.device };
    if (finish) await decideFinish(dir, recipe);
    const finished = await inChild(options, (pid) => lock.add(pid));
    return { dir, recipe, finished };
  });
}

/** The recipe of a run that goes on. */
async function continueRun({ out, data, maxBadShare, onEvent }: PretrainOptions): Promise<Recipe> {
  const begun = defineRecipe(openRun(out).recipe);
  const saved = maxBadShare === undefined ? begun : { ...begun, maxBadShare };
  const recipe = await withSameImages(out, saved, data, (text) => onEvent?.({ kind: "note", text }));
  if (data !== undefined || maxBadShare !== undefined) rewriteRecipe(out, recipe);
  return recipe;
}

/**
 * Takes part in a job as one of its other processes: recipe and weights come from the first one, and nothing is written.
 * Rejects when this process cannot go on, and then the launcher ends the job.
 */
export async function joinPretrain(options: Pick<PretrainOptions, "command" | "signal">): Promise<void> {
  await inChild({ ...options, out: "" });
}

/** Trains in a child process; false when it was asked to stop before the end. `begin` is told its number. */
async function inChild(
  { out: dir, resume = false, device, onEvent, signal, command }: PretrainOptions,
  begin?: (pid: number) => void,
): Promise<boolean> {
  const { size, rank } = launched() ?? { size: 1, rank: 0 };
  const child = fork(new URL("./child.js", import.meta.url), {
    // own arguments only: a debugger or test runner of the parent must not follow into the child
    execArgv: [],
    serialization: "advanced",
    ...inherited(),
  });
  // when this process is killed, the child still writes its last checkpoint
  if (child.pid !== undefined) begin?.(child.pid);
  const send = (message: Command) => child.send(message, () => undefined); // "close" tells of a child that is gone
  const stop = () => send({ kind: "stop" });
  signal?.addEventListener("abort", stop);
  try {
    return await new Promise<boolean>((resolve, reject) => {
      let end: (() => void) | undefined;
      let begun = resume;
      child.on("message", (report: Report) => {
        if (report.kind === "failed") {
          const error = new Error(report.message);
          if (report.stack !== "") error.stack = report.stack;
          end = () => {
            if (!begun && rank === 0) clear(dir);
            reject(error);
          };
          if (size > 1) {
            // the launcher ends the job when the child does, so the reason is told before that
            end();
            child.disconnect();
            child.unref();
          }
        } else {
          if (report.kind === "step") begun = true;
          if (report.kind === "done") end = () => resolve(report.finished);
          onEvent?.(report);
        }
      });
      child.on("error", reject);
      // not "exit", which may come before the last message
      child.on("close", (code, killer) => {
        const how = killer === null ? `exit code ${code}` : `signal ${killer}`;
        const resumed =
          command === undefined ? `resume the run in ${dir}` : `go on with: layergraft pretrain --resume --out ${dir}`;
        const again = rank > 0 ? "the run can be resumed from its newest checkpoint" : resumed;
        const which = size === 1 ? "the training process" : `training process ${rank} on ${hostname()}`;
        if (end === undefined) reject(new Error(`${which} ended unexpectedly (${how}); ${again}`));
        else end();
      });
      send({ kind: "start", dir, resume, device, command: command ?? "" });
      if (signal?.aborted === true) stop();
    });
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** Takes a run that failed before its first step out of its folder, so that the corrected recipe can have it. */
function clear(dir: string) {
  const ours =
    /^((recipe|environment|images|notes)\.json|metrics\.jsonl|events\.out\.tfevents\..*|start\.safetensors|checkpoints|samples)$/;
  for (const name of readdirSync(dir)) if (ours.test(name)) rmSync(join(dir, name), { recursive: true });
}

async function startRun(
  out: string,
  input: RecipeInput,
  { device, command, prepare }: PretrainOptions,
): Promise<Recipe> {
  const recipe = defineRecipe(device === undefined ? input : { ...input, device });
  const facts = { seed: recipe.seed, onnxruntime: runtimeVersion };
  createRun(out, { recipe, environment: describeEnvironment(command === undefined ? facts : { ...facts, command }) });
  writeSamples(out, { learningRates: layerRates(resolveStages(recipe)) });
  try {
    await keepImages(out, recipe);
    await prepare?.(out);
  } catch (error) {
    clear(out);
    throw error;
  }
  return recipe;
}
