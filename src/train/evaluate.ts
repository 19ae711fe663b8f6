import { key } from "../tensor/random.ts";
import { createEncoder, type Encoder, initialParameters, loadEncoder, pixelFeatures } from "../evaluators/encoder.ts";
import type { Features, Score } from "../evaluators/evaluator.ts";
import { protocols, type Protocol, type TaskOptions, tasksOf } from "./tasks.ts";
import type { SourceInput } from "../data/source.ts";
import { listCheckpoints } from "../run/checkpoint.ts";
import { type Evaluation, writeEvaluation } from "../run/evaluation.ts";
import { openRun } from "../run/folder.ts";
import { defineRecipe, evaluationViewOf, lossesOf, type Recipe } from "./recipe.ts";

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
}

/** An encoder to compare: `random` and `pixels` are what a trained one must beat, the rest are the run's stages. */
export interface Contender {
  readonly name: string;
  readonly title: string;
  open(): Promise<Pick<Encoder, "features" | "release">>;
}

/**
 * Measures the encoder after every finished stage of a run, beside a random encoder and plain pixels, and writes
 * `evaluation.json`. Seed and threads are the recipe's unless the options say otherwise.
 */
export async function evaluate(dir: string, options: EvaluateOptions = {}): Promise<Evaluation> {
  const recipe = defineRecipe(openRun(dir).recipe);
  const { data = recipe.data, contenders: names, seed = recipe.seed, threads = recipe.threads, ...rest } = options;
  const entrants = contenders(dir, { ...recipe, threads }, names);
  const evaluation = await evaluateEncoders(entrants, data, { seed, threads, ...rest });
  writeEvaluation(dir, evaluation);
  return evaluation;
}

/**
 * Measures encoders on a source with classes, without a run folder. Each is opened once, and its features are shared by
 * all protocols. Throws one sentence when nothing can be measured on these images.
 */
export async function evaluateEncoders(
  entrants: readonly Contender[],
  data: SourceInput,
  { protocols: wanted = protocols, onProgress, ...options }: Omit<EvaluateOptions, "data" | "contenders"> = {},
): Promise<Evaluation> {
  const list = await tasksOf(data, options);
  const tasks = list.tasks.filter(({ protocol }) => wanted.includes(protocol as Protocol));
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
  for (const { name, title, open } of entrants) {
    const computed = new Map<string, Features>();
    const { features, release } = await open();
    for (const [part, source] of Object.entries(list.sources)) {
      const found = await features(source);
      computed.set(part, found);
      for (const { id, reason } of found.unreadable ?? []) unreadable.set(id, reason);
    }
    await release();
    for (const [i, task] of tasks.entries()) {
      onProgress?.(done++, tasks.length * entrants.length, `${title}: ${task.label}`);
      scores[i]![name] = await task.run((part) => computed.get(part)!);
    }
  }
  onProgress?.(done, done, "");
  return {
    columns: entrants.map(({ name, title }) => ({ name, title })),
    rows: tasks.map(({ protocol, label, chance }, i) => ({
      protocol,
      label,
      metric: "accuracy",
      values: column(scores[i]!, "value")!,
      deviations: column(scores[i]!, "deviation"),
      validation: column(scores[i]!, "validation"),
      chance,
    })),
    ...(unreadable.size === 0 ? {} : { notes: [leftOut(unreadable)] }),
  };
}

/** One number of the scores by encoder, of those that have it; undefined when none has. */
function column(scores: Readonly<Record<string, Score>>, what: "value" | "deviation" | "validation") {
  const found = Object.entries(scores).flatMap(([name, { [what]: value }]) =>
    value === undefined ? [] : [[name, value] as const],
  );
  return found.length === 0 ? undefined : Object.fromEntries(found);
}

/** What any encoder of this recipe should beat: the model before training, and colours themselves. */
export function baselines(recipe: Recipe): Contender[] {
  const { model, seed, threads } = recipe;
  const view = evaluationViewOf(recipe);
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
  const all = [...baselines(recipe), ...trained];
  const chosen = names?.map((name) => {
    const found = name === "last" ? trained.at(-1) : all.find((each) => each.name === name);
    if (found !== undefined) return found;
    const available = [...all.map((each) => each.name), ...(trained.length === 0 ? [] : ["last"])].join(", ");
    throw new Error(`the run in ${dir} has no ${name} to measure; available: ${available}`);
  });
  if (chosen === undefined && trained.length === 0)
    throw new Error(`no stage of the run in ${dir} has ended yet; let it train to the end first`);
  return [...new Set(chosen ?? all)];
}

function titleOf(recipe: Recipe, name: string): string {
  const { stages } = recipe;
  const stage = stages.find((each) => each.name === name);
  const { mim, cl } = stage === undefined ? {} : lossesOf(recipe, stage);
  const builds = stage !== undefined && (stage.init.length > 0 || stage !== stages[0]);
  return builds && cl !== undefined && mim === undefined ? "after grafting" : `after ${name.toUpperCase()}`;
}

function leftOut(unreadable: ReadonlyMap<string, string>): string {
  const [first] = unreadable.values();
  return unreadable.size === 1 ? `left out: ${first}` : `${unreadable.size} images were left out; the first: ${first}`;
}
