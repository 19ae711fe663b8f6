/**
 * A study's folder:
 *
 *     study.json         the options                 cells/<id>/      a run folder each, see run/folder.ts
 *     environment.json   versions, machine, commit   baselines.json   a random encoder and pixels, evaluated
 *     results.json, table.md, table.csv, *.svg, report.html           written anew when a cell ends, see outputs.ts
 */
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import * as z from "zod";
import type { Device } from "../backend/device.ts";
import { processors } from "../backend/machine.ts";
import { runtimeVersion } from "../backend/executable.ts";
import { openSource } from "../data/sources/open.ts";
import { listCheckpoints, pruneCheckpoints } from "../run/checkpoint.ts";
import { type Conflict, readConflict } from "../run/conflict.ts";
import { describeEnvironment, type Environment, environmentSchema } from "../run/environment.ts";
import { messageOf } from "../run/errors.ts";
import { type Evaluation, evaluationSchema, merge, readEvaluation } from "../run/evaluation.ts";
import { differenceOf, imagesIn, readImages, writeImages } from "../run/images.ts";
import { readJson, writeJson } from "../run/json.ts";
import { locked, lockName } from "../run/lock.ts";
import { measureConflict } from "../measure/conflict.ts";
import { baselines as baselinesOf } from "../measure/candidates.ts";
import { evaluate, evaluateEncoders } from "../measure/evaluate.ts";
import type { TrainEvent } from "../train/events.ts";
import { pretrain } from "../train/pretrain.ts";
import { defineRecipe } from "../recipe/recipe.ts";
import { writeOutputs } from "./outputs.ts";
import { type Cell, cellCount, readyCells, recipeOf, type StudyOptions } from "./design.ts";
import { fineTuningIn, type Known, outcomesOf, resultsOf, type StudyResults } from "./results.ts";

export interface RunOptions {
  readonly out: string;
  readonly study: StudyOptions;
  /** What trains and runs the encoders (default: cpu). It may be another one when a study goes on. */
  readonly device?: Device | undefined;
  /** Cells trained at a time; the cores are divided among them (default 1). */
  readonly jobs?: number;
  /** Forget what was measured and measure every encoder again, as after a change of protocol; none is trained again. */
  readonly again?: boolean;
  readonly onEvent?: (event: StudyEvent) => void;
  /** Aborting saves what is being trained and ends early. */
  readonly signal?: AbortSignal;
  /** The command line to record. */
  readonly command?: string;
}

/** What a study tells the outside. */
export type StudyEvent =
  | { readonly kind: "study"; readonly done: number; readonly failed: number; readonly cells: number }
  | { readonly kind: "cell"; readonly cell: string; readonly state: CellState }
  | { readonly kind: "failed"; readonly cell: string; readonly reason: string }
  | { readonly kind: "training"; readonly cell: string; readonly event: TrainEvent };
export type CellState =
  | "training"
  | "evaluating"
  | "done"
  | "stopped"
  | "fine-tuning"
  | "fine-tuned"
  | "measuring"
  | "measured";

export interface StudyOutcome {
  readonly results: StudyResults;
  /** False when the study was asked to stop before its end. */
  readonly finished: boolean;
}

/**
 * Trains and evaluates what the folder does not have yet, and writes tables, pictures and report. A cell that fails is told
 * of and left out while the others go on; the next start tries it again. Fine-tuning comes last, of the cells in the table
 * alone, and may be asked for later. Throws when the folder holds another study or the images cannot be evaluated.
 */
export async function runStudy(options: RunOptions): Promise<StudyOutcome> {
  const { out, study } = options;
  const found = findStudy(options);
  // done first, because it shows whether the images can be evaluated at all
  const baselines = await evaluateBaselines(options);
  const source = await openSource(study.settings.data);
  const images = imagesIn(source);
  const difference = differenceOf(readImages(out) ?? images, images, source.name);
  if (difference !== undefined)
    throw new Error(
      `the study in ${out} was begun with ${difference}: runs can only be compared on the same ones. ` +
        "Put them back, or choose another --out",
    );
  mkdirSync(out, { recursive: true });
  return locked(out, options.command ?? "layergraft study", async () => {
    const environment = found === undefined ? createStudy(options) : extendStudy(options, found);
    writeImages(out, images);
    writeJson(join(out, "baselines.json"), baselines);
    return runCells(options, baselines, environment);
  });
}

/** What `runStudy` does in the folder of the study, once it has it. */
async function runCells(options: RunOptions, baselines: Evaluation, environment: Environment): Promise<StudyOutcome> {
  const { out, study, jobs = 1, onEvent = () => undefined, signal } = options;
  const evaluations = new Map<string, Evaluation>();
  const failures = new Map<string, string>();
  const conflicts = new Map<string, Conflict>();
  for (const id of readdirSync(join(out, "cells"))) {
    if (options.again === true) rmSync(join(cellFolder(out, id), "evaluation.json"), { force: true });
    const evaluation = readEvaluation(cellFolder(out, id));
    if (evaluation !== undefined) evaluations.set(id, evaluation);
    const conflict = readConflict(cellFolder(out, id));
    if (conflict !== undefined) conflicts.set(id, conflict);
  }
  const known: Known = { evaluations, failures, conflicts, baselines };
  const tell = () => {
    const results = resultsOf(study, known);
    writeOutputs(out, study, results, environment);
    onEvent({ kind: "study", done: evaluations.size, failed: failures.size, cells: cellCount(study) });
    return results;
  };

  let results = tell();
  const stopped = () => signal?.aborted === true;
  const busy = new Set<string>();
  const attempt = async (id: string, evaluating: Promise<Evaluation | undefined>) => {
    busy.add(id);
    try {
      const evaluation = await evaluating;
      if (evaluation !== undefined) evaluations.set(id, evaluation);
    } catch (error) {
      failures.set(id, messageOf(error));
      onEvent({ kind: "failed", cell: id, reason: messageOf(error) });
    }
    busy.delete(id);
    results = tell();
  };
  await inParallel(jobs, () => {
    const cell = stopped() ? undefined : readyCells(study, outcomesOf(known)).find(({ id }) => !busy.has(id));
    return cell && attempt(cell.id, runCell(options, cell));
  });
  await inParallel(jobs, () => {
    const next = stopped() ? undefined : notFineTuned(study, known, results).find((id) => !busy.has(id));
    return next === undefined ? undefined : attempt(next, fineTuneCell(options, next));
  });

  for (const { cell } of results.entries.find(({ entry }) => entry === "mtl")?.seeds ?? []) {
    if (stopped() || conflicts.has(cell)) continue;
    onEvent({ kind: "cell", cell, state: "measuring" });
    conflicts.set(
      cell,
      await measureConflict(cellFolder(out, cell), { device: options.device, threads: processors() }),
    );
    onEvent({ kind: "cell", cell, state: "measured" });
    results = tell();
  }
  return { results, finished: !stopped() };
}

/** Does what `next` hands out, `jobs` at a time, until it has nothing more. */
async function inParallel(jobs: number, next: () => Promise<void> | undefined): Promise<void> {
  const running = new Set<Promise<void>>();
  for (;;) {
    const job = running.size < jobs ? next() : undefined;
    if (job !== undefined) {
      const ended = job.then(() => void running.delete(ended));
      running.add(ended);
    } else if (running.size > 0) await Promise.race(running);
    else return;
  }
}

/** Cells of the table that fine-tuning, if wanted, has yet to be measured of. All methods of a seed come before the next. */
function notFineTuned(study: StudyOptions, { evaluations, failures }: Known, { entries }: StudyResults): string[] {
  if (study.evaluation.fineTune === undefined) return [];
  return entries
    .flatMap(({ seeds }) => seeds)
    .sort((a, b) => a.seed - b.seed)
    .map(({ cell }) => cell)
    .filter((cell) => !failures.has(cell) && fineTuningIn(evaluations.get(cell)!, study) === undefined);
}

/** The environment of the study in the folder; undefined when there is none yet. Throws when it is not this one. */
function findStudy({ out, study }: RunOptions): Environment | undefined {
  const found = readJson(join(out, "study.json"), z.unknown());
  if (found === undefined) {
    if (existsSync(out) && readdirSync(out).some((name) => name !== lockName))
      throw new Error(`${out} is not empty and holds no study; choose another --out or empty it`);
    return undefined;
  }
  const wanted: unknown = JSON.parse(JSON.stringify(study));
  const [there, now] = [trained(found), trained(wanted)];
  if (!isDeepStrictEqual(there, now))
    throw new Error(
      `${out} holds another study (${firstDifference(there, now)}); go on with its own command, or choose another --out`,
    );
  return readJson(join(out, "environment.json"), environmentSchema);
}

/** The options without fine-tuning, which may be added to a study and taken away. */
function trained(study: unknown): unknown {
  if (!isObject(study) || !isObject(study["evaluation"])) return study;
  const { fineTune: _, ...evaluation } = study["evaluation"];
  return { ...study, evaluation };
}

/** Starts the folder. */
function createStudy({ out, study, command }: RunOptions): Environment {
  const facts = { seed: 0, onnxruntime: runtimeVersion };
  const environment = describeEnvironment(command === undefined ? facts : { ...facts, command });
  mkdirSync(out, { recursive: true });
  writeJson(join(out, "study.json"), study);
  mkdirSync(join(out, "cells"), { recursive: true });
  writeJson(join(out, "environment.json"), environment); // last: without it the folder is started again
  return environment;
}

/** Writes down how fine-tuning is asked for now. */
function extendStudy({ out, study, command }: RunOptions, before: Environment): Environment {
  const environment = command === undefined ? before : { ...before, command };
  writeJson(join(out, "study.json"), study);
  writeJson(join(out, "environment.json"), environment);
  return environment;
}

/** `settings.cl.epochs is 40 there, 20 now` */
function firstDifference(found: unknown, wanted: unknown, path: readonly string[] = []): string {
  if (isObject(found) && isObject(wanted)) {
    const keys = [...new Set([...Object.keys(found), ...Object.keys(wanted)])];
    const key = keys.find((each) => !isDeepStrictEqual(found[each], wanted[each]))!;
    return firstDifference(found[key], wanted[key], [...path, key]);
  }
  return `${path.join(".")} is ${JSON.stringify(found) ?? "not set"} there, ${JSON.stringify(wanted) ?? "not set"} now`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

type Asking = Pick<RunOptions, "study" | "device" | "jobs">;

/** What every encoder is asked: on the same splits, with the same draws. */
export function questions(options: Asking) {
  return {
    ...splits(options),
    protocols: ["knn", "linear", "few-shot"] as const,
    settings: { "few-shot": { shots: [1, 2, 5, "1%", "10%"] } },
  };
}

/** The same for fine-tuning, which costs more than all the others together. */
function fineTuning(options: Asking) {
  const { fineTune = {} } = options.study.evaluation;
  return { ...splits(options), protocols: ["fine-tune"] as const, settings: { "fine-tune": fineTune } };
}

function splits({ study, device, jobs = 1 }: Asking) {
  const { data, limit } = study.evaluation;
  return { data, ...(limit === undefined ? {} : { limit }), seed: 0, device, threads: threadsOf(jobs) };
}

/** What any trained encoder should beat: as it was measured before, and what is missing. */
async function evaluateBaselines(options: RunOptions): Promise<Evaluation> {
  const { out, study, device, again = false } = options;
  const recipe = { ...defineRecipe(recipeOf(study, readyCells(study, new Map())[0]!)), device };
  const measure = ({ data, ...rest }: ReturnType<typeof questions> | ReturnType<typeof fineTuning>) =>
    evaluateEncoders(baselinesOf(recipe), data, rest);
  const before = again ? undefined : readJson(join(out, "baselines.json"), evaluationSchema);
  const frozen = before ?? (await measure(questions(options)));
  if (study.evaluation.fineTune === undefined || fineTuningIn(frozen, study) !== undefined) return frozen;
  return merge(frozen, await measure(fineTuning(options)));
}

/** Trains a cell to its end, from where it was stopped, and evaluates it; undefined when asked to stop before that. */
async function runCell(options: RunOptions, cell: Cell): Promise<Evaluation | undefined> {
  const { out, study, device, jobs = 1, onEvent = () => undefined, signal } = options;
  const { id, parent } = cell;
  const dir = cellFolder(out, id);
  const tell = (state: CellState) => onEvent({ kind: "cell", cell: id, state });
  tell("training");
  const resume = existsSync(join(dir, "recipe.json"));
  if (!resume) rmSync(dir, { recursive: true, force: true }); // of a start that was killed
  const start = parent === undefined ? undefined : listCheckpoints(cellFolder(out, parent)).at(-1)!.path;
  const { finished } = await pretrain({
    out: dir,
    ...(resume ? { resume } : { recipe: { ...recipeOf(study, cell, start), threads: threadsOf(jobs) } }),
    device,
    onEvent: (event) => onEvent({ kind: "training", cell: id, event }),
    ...(signal === undefined ? {} : { signal }),
  });
  if (!finished) {
    tell("stopped");
    return undefined;
  }
  tell("evaluating");
  pruneCheckpoints(dir, { keep: 1 }); // only the final one is of use now
  const evaluation = await evaluate(dir, { ...questions(options), encoders: ["last"] });
  tell("done");
  return evaluation;
}

/** Adds fine-tuning to what was measured of a cell. */
async function fineTuneCell(options: RunOptions, cell: string): Promise<Evaluation> {
  const { out, onEvent } = options;
  const dir = cellFolder(out, cell);
  onEvent?.({ kind: "cell", cell, state: "fine-tuning" });
  await evaluate(dir, { ...fineTuning(options), encoders: ["last"] });
  onEvent?.({ kind: "cell", cell, state: "fine-tuned" });
  return readEvaluation(dir)!;
}

export function threadsOf(jobs: number): number {
  return Math.max(1, Math.floor(processors() / jobs));
}

function cellFolder(out: string, id: string): string {
  return join(out, "cells", id);
}
