import { key } from "../tensor/random.ts";
import { createEncoder, initialParameters, loadEncoder, pixelFeatures } from "../evaluators/encoder.ts";
import type { Features } from "../evaluators/evaluator.ts";
import { protocols, type Protocol, type TaskOptions, tasksOf } from "../evaluators/tasks.ts";
import { type Source, type SourceSpec } from "../data/source.ts";
import { listCheckpoints } from "../run/checkpoint.ts";
import { type Evaluation, writeEvaluation } from "../run/evaluation.ts";
import { openRun } from "../run/folder.ts";
import { defineRecipe, evaluationViewOf, type Recipe } from "./recipe.ts";

export interface EvaluateOptions extends TaskOptions {
  /** Images with classes; default: the data the run was trained on. */
  readonly data?: SourceSpec;
  /** Default: all that the data allow. */
  readonly protocols?: readonly Protocol[];
  readonly onProgress?: (done: number, total: number, what: string) => void;
}

/** An encoder to compare: `random` and `pixels` are what a trained one must beat, the rest are the run's stages. */
export interface Contender {
  readonly name: string;
  readonly title: string;
  features(source: Source): Promise<Features>;
  release(): Promise<void>;
}

/**
 * Measures the encoder after every finished stage of a run, beside a random encoder and plain pixels, and writes
 * `evaluation.json`. Features are computed once per encoder and shared by all protocols.
 */
export async function evaluate(dir: string, options: EvaluateOptions = {}): Promise<Evaluation> {
  const recipe = defineRecipe(openRun(dir).recipe);
  const wanted = options.protocols ?? protocols;
  const list = await tasksOf(options.data ?? recipe.data, { seed: recipe.seed, ...options });
  const tasks = list.tasks.filter(({ protocol }) => wanted.includes(protocol as Protocol));
  if (tasks.length === 0) {
    const possible = new Set(list.tasks.map(({ protocol }) => protocol));
    throw new Error(
      list.reason ??
        `none of ${wanted.join(", ")} can be measured on these images; possible: ${[...possible].join(", ")}`,
    );
  }
  const entrants = await contenders(dir, recipe);
  const values = tasks.map((): Record<string, number> => ({}));
  const deviations = tasks.map((): Record<string, number> => ({}));
  const unreadable = new Map<string, string>();
  let done = 0;
  for (const { name, title, features, release } of entrants) {
    const computed = new Map<string, Features>();
    for (const [part, source] of Object.entries(list.sources)) {
      const found = await features(source);
      computed.set(part, found);
      for (const { id, reason } of found.unreadable ?? []) unreadable.set(id, reason);
    }
    await release();
    for (const [i, task] of tasks.entries()) {
      options.onProgress?.(done++, tasks.length * entrants.length, `${title}: ${task.label}`);
      const score = await task.run((part) => computed.get(part)!);
      values[i]![name] = score.value;
      if (score.deviation !== undefined) deviations[i]![name] = score.deviation;
    }
  }
  options.onProgress?.(done, done, "");
  const evaluation: Evaluation = {
    columns: entrants.map(({ name, title }) => ({ name, title })),
    rows: tasks.map(({ protocol, label, chance }, i) => ({
      protocol,
      label,
      metric: "accuracy",
      values: values[i]!,
      ...(Object.keys(deviations[i]!).length === 0 ? {} : { deviations: deviations[i]! }),
      ...(chance === undefined ? {} : { chance }),
    })),
    ...(unreadable.size === 0 ? {} : { notes: [leftOut(unreadable)] }),
  };
  writeEvaluation(dir, evaluation);
  return evaluation;
}

/** Random encoder, pixels, and the encoder after every stage that has ended. */
export async function contenders(dir: string, recipe: Recipe): Promise<Contender[]> {
  const { model, seed } = recipe;
  const view = evaluationViewOf(recipe);
  const threads = recipe.threads === undefined ? {} : { threads: recipe.threads };
  const nothing = async () => undefined;
  const random = await createEncoder(model, view, initialParameters(model, key(seed)), threads);
  const result: Contender[] = [
    { name: "random", title: "random encoder", features: random.features, release: random.release },
    { name: "pixels", title: "raw pixels", features: pixelFeatures(view), release: nothing },
  ];
  for (const { stage, final } of listCheckpoints(dir)) {
    if (!final) continue;
    const encoder = await loadEncoder(dir, { stage, ...threads });
    result.push({ name: stage, title: titleOf(recipe, stage), features: encoder.features, release: encoder.release });
  }
  if (result.length === 2)
    throw new Error(`no stage of the run in ${dir} has ended yet; let it train to the end first`);
  return result;
}

function titleOf({ stages }: Recipe, name: string): string {
  const index = stages.findIndex((stage) => stage.name === name);
  const grafted = stages[index]?.objective.kind === "mocov3" && index > 0;
  return grafted ? "after grafting" : `after ${name.toUpperCase()}`;
}

function leftOut(unreadable: ReadonlyMap<string, string>): string {
  const [first] = unreadable.values();
  return unreadable.size === 1 ? `left out: ${first}` : `${unreadable.size} images were left out; the first: ${first}`;
}
