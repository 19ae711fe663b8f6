import { existsSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { key } from "../tensor/random.ts";
import type { VitConfig } from "../nn/vit.ts";
import type { Source } from "../data/source.ts";
import { defineSource, type SourceInput } from "../data/sources/open.ts";
import type { CenterView } from "../data/augmentation/views.ts";
import {
  checkpointSetup,
  createEncoder,
  type Encoder,
  initialParameters,
  loadEncoder,
  pixelFeatures,
} from "../evaluators/encoder.ts";
import type { Features, Score } from "../evaluators/evaluator.ts";
import { listCheckpoints } from "../run/checkpoint.ts";
import { addEvaluation, type Evaluation } from "../run/evaluation.ts";
import { openRun } from "../run/folder.ts";
import { readable } from "./questions.ts";
import { defineRecipe, evaluationViewOf, type Recipe } from "../recipe/recipe.ts";
import { lossesOf, resolveStage } from "../recipe/stage.ts";
import { type Protocol, type Subject, type Task, type TaskOptions, tasksOf, usual } from "./tasks.ts";

export interface EvaluateOptions extends TaskOptions {
  /** Images with classes; default: the data the run was trained on. */
  readonly data?: SourceInput;
  /**
   * Which encoders to measure: `random`, `pixels`, names of finished stages, and `last` for the last of these.
   * Default: random, pixels and every finished stage.
   */
  readonly contenders?: readonly string[];
  /** Default: all that the data allow. */
  readonly protocols?: readonly Protocol[];
  readonly onProgress?: (done: number, total: number, what: string) => void;
  /** Is shown every score with what it is of: predictions are not part of the evaluation. */
  readonly onScore?: (measured: Measured) => void;
}

export interface Measured {
  readonly contender: Contender;
  readonly task: Task;
  readonly score: Score;
  readonly source: Source;
  /** The images of the source that were tested, in the order of the score's predictions; missing where nothing was frozen. */
  readonly tested?: readonly number[];
}

/** An encoder to compare: `random` and `pixels` are what a trained one must beat, the rest are the run's stages. */
export interface Contender {
  readonly name: string;
  readonly title: string;
  open(): Promise<Encoder | Pick<Encoder, "features" | "release">>;
}

/**
 * Measures the encoder after every finished stage of a run, beside a random encoder and plain pixels, and adds what it found
 * to `evaluation.json`. Of one checkpoint file: the same without stages, and nothing is written. Seed and threads are the
 * recipe's unless the options say otherwise.
 */
export async function evaluate(path: string, options: EvaluateOptions = {}): Promise<Evaluation> {
  const { entrants, recipe } = subjectsAt(path, options);
  const { data = recipe?.data, seed = recipe?.seed, threads = recipe?.threads, ...rest } = options;
  if (data === undefined)
    throw new Error(`${path} is a checkpoint and does not say which images to measure it on; name them (--data)`);
  const evaluation = await evaluateEncoders(entrants, data, { seed, threads, ...rest });
  if (recipe === undefined) return evaluation;
  const elsewhere = options.data !== undefined && !isDeepStrictEqual(defineSource(options.data), recipe.data);
  return addEvaluation(path, elsewhere ? onOtherData(evaluation, nameOf(options.data)) : evaluation);
}

/** The encoders at a path, and the recipe where it is a run folder. */
export function subjectsAt(
  path: string,
  { contenders: names, threads }: Pick<EvaluateOptions, "contenders" | "threads">,
): { entrants: Contender[]; recipe?: Recipe } {
  if (existsSync(path) && statSync(path).isFile())
    return { entrants: choose(path, ofCheckpoint(path, threads), names) };
  const recipe = defineRecipe(openRun(path).recipe);
  return { entrants: contenders(path, { ...recipe, threads: threads ?? recipe.threads }, names), recipe };
}

/**
 * Measures encoders on a source with classes, without a run folder. Each is opened once, and its features are shared by
 * all protocols. Throws one sentence when nothing can be measured on these images.
 */
export async function evaluateEncoders(
  entrants: readonly Contender[],
  data: SourceInput,
  { protocols: wanted = usual, onProgress, onScore, ...options }: Omit<EvaluateOptions, "data" | "contenders"> = {},
): Promise<Evaluation> {
  const list = await tasksOf(data, options);
  const tasks = list.tasks.filter(({ protocol }) => wanted.includes(protocol));
  if (tasks.length === 0) {
    const possible = new Set(list.tasks.map(({ protocol }) => protocol));
    throw new Error(
      list.reason ??
        `none of ${wanted.join(", ")} can be measured on these images; possible: ${[...possible].join(", ")}`,
    );
  }
  const scores = tasks.map((): Record<string, Score> => ({}));
  const unreadable = new Map<string, string>();
  let done = 0;
  for (const contender of entrants) {
    const { name, title } = contender;
    const opened = await contender.open();
    let known: Features | undefined;
    const subject: Subject = {
      async features() {
        known ??= await opened.features(list.source);
        for (const { id, reason } of known.unreadable ?? []) unreadable.set(id, reason);
        return known;
      },
      ...("model" in opened && { encoder: opened }),
    };
    for (const [i, task] of tasks.entries()) {
      const tell = (share: number) =>
        onProgress?.(done + share, tasks.length * entrants.length, `${title}: ${task.label}`);
      tell(0);
      if (subject.encoder !== undefined || task.needs !== "encoder") {
        scores[i]![name] = await task.run(subject, { onProgress: (part, whole) => tell(part / whole) });
        const { question, needs } = task;
        const tested =
          question === undefined || needs === "encoder" ? {} : { tested: readable(question, known!).rows.test };
        onScore?.({ contender, task, score: scores[i]![name], source: list.source, ...tested });
      }
      done++;
    }
    await opened.release();
  }
  onProgress?.(done, done, "");
  const warnings = new Set(scores.flatMap((each) => Object.values(each).flatMap(({ warning }) => warning ?? [])));
  const notes = [...(unreadable.size === 0 ? [] : [leftOut(unreadable)]), ...warnings];
  return {
    columns: entrants.map(({ name, title }) => ({ name, title })),
    rows: tasks.map(({ protocol, label, chance, settings }, i) => ({
      protocol,
      label,
      metric: "accuracy",
      values: column(scores[i]!, "value") ?? {},
      deviations: column(scores[i]!, "deviation"),
      validation: column(scores[i]!, "validation"),
      details: column(scores[i]!, "detail"),
      labels: Object.values(scores[i]!)[0]?.labels,
      chance,
      settings: { ...settings },
    })),
    ...(notes.length === 0 ? {} : { notes }),
  };
}

/** One property of the scores by encoder, of those that have it; undefined when none has. */
function column<P extends "value" | "deviation" | "validation" | "detail">(
  scores: Readonly<Record<string, Score>>,
  property: P,
): Record<string, NonNullable<Score[P]>> | undefined {
  const found = Object.entries(scores).flatMap(([name, { [property]: value }]) =>
    value === undefined ? [] : [[name, value] as const],
  );
  return found.length === 0 ? undefined : Object.fromEntries(found);
}

/** What any encoder of this recipe should beat: the model before training, and colours themselves. */
export function baselines(recipe: Recipe): Contender[] {
  return baselinesOf({ ...recipe, view: evaluationViewOf(recipe) });
}

interface Baseline {
  readonly model: VitConfig;
  readonly view: CenterView;
  readonly seed: number;
  readonly threads?: number | undefined;
}

function baselinesOf({ model, view, seed, threads }: Baseline): Contender[] {
  return [
    {
      name: "random",
      title: "random encoder",
      open: () => createEncoder(model, view, initialParameters(model, key(seed)), { threads }),
    },
    {
      name: "pixels",
      title: "raw pixels",
      open: async () => ({ features: pixelFeatures(view), release: async () => undefined }),
    },
  ];
}

/** Random encoder, pixels, and the encoder after every stage that has ended, or those of them that `names` lists. */
export function contenders(dir: string, recipe: Recipe, names?: readonly string[]): Contender[] {
  const { threads } = recipe;
  const trained = listCheckpoints(dir)
    .filter(({ final }) => final)
    .map(({ stage }): Contender => ({
      name: stage,
      title: titleOf(recipe, stage),
      open: () => loadEncoder(dir, { stage, threads }),
    }));
  if (names === undefined && trained.length === 0)
    throw new Error(`no stage of the run in ${dir} has ended yet; let it train to the end first`);
  return choose(`the run in ${dir}`, [...baselines(recipe), ...trained], names);
}

/** Random encoder, pixels, and the encoder in a file. */
function ofCheckpoint(path: string, threads: number | undefined): Contender[] {
  const { model, view } = checkpointSetup(path);
  return [
    ...baselinesOf({ model, view, seed: 0, threads }),
    { name: "checkpoint", title: basename(path, ".safetensors"), open: () => loadEncoder(path, { threads }) },
  ];
}

/** Those that are named, all by default. `last` is the last one that was trained. */
function choose(where: string, all: readonly Contender[], names?: readonly string[]): Contender[] {
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

function leftOut(unreadable: ReadonlyMap<string, string>): string {
  const [first] = unreadable.values();
  return unreadable.size === 1 ? `left out: ${first}` : `${unreadable.size} images were left out; the first: ${first}`;
}

/** The rows with the name of the images: they are not those the run was trained on. */
function onOtherData(evaluation: Evaluation, data: string): Evaluation {
  return { ...evaluation, rows: evaluation.rows.map((row) => ({ ...row, data })) };
}

function nameOf(input: SourceInput): string {
  return "path" in input ? basename(resolve(input.path)) : input.kind;
}
