import { basename, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Source } from "../data/source.ts";
import { defineSource, type SourceInput } from "../data/sources/open.ts";
import { inRange, rangeOf } from "../data/sources/range.ts";
import { checkBad, usualBadShare } from "../data/batches/bad.ts";
import { checkpointSetup } from "../evaluators/encoder.ts";
import type { Features, Score } from "../evaluators/evaluator.ts";
import { addEvaluation, type Evaluation } from "../run/evaluation.ts";
import { type Candidate, candidatesAt, type CandidateOptions } from "./candidates.ts";
import { readable, unreadableClasses } from "./questions.ts";
import type { Protocol, Subject } from "./protocol.ts";
import { type ProtocolName, usual } from "./protocols/index.ts";
import { type ListedTask, type TaskOptions, tasksOf } from "./tasks.ts";

export interface EvaluateOptions extends TaskOptions {
  /** Images with classes; default: the data the run was trained on. */
  readonly data?: SourceInput;
  /** Which encoders to measure (default: random, pixels and every finished stage). */
  readonly encoders?: CandidateOptions["encoders"];
  /** Names of built-in protocols, and others themselves. Default: what takes a moment, of what the data allow. */
  readonly protocols?: readonly (ProtocolName | Protocol)[];
  /** Share of unreadable images above which nothing is measured (default: the recipe's, or a tenth). */
  readonly maxBadShare?: number | undefined;
  readonly onProgress?: (done: number, total: number, what: string) => void;
  /** Is shown every score with what it is of: predictions are not part of the evaluation. */
  readonly onScore?: (measured: Measured) => void;
}

export interface Measured {
  readonly candidate: Candidate;
  readonly task: ListedTask;
  readonly score: Score;
  readonly source: Source;
  /** The images of the source that were tested, in the order of the score's predictions; missing where nothing was frozen. */
  readonly tested?: readonly number[];
}

/**
 * Measures the encoder after every finished stage of a run, beside a random encoder and plain pixels, and adds what it found
 * to `evaluation.json`. Of one checkpoint file: the same without stages, and nothing is written. Seed, device and threads are the
 * recipe's unless the options say otherwise.
 */
export async function evaluate(path: string, options: EvaluateOptions = {}): Promise<Evaluation> {
  const { candidates, recipe } = candidatesAt(path, options);
  const {
    data = recipe?.data,
    seed = recipe?.seed,
    device = recipe?.device,
    threads = recipe?.threads,
    maxBadShare = recipe?.maxBadShare,
    ...rest
  } = options;
  if (data === undefined)
    throw new Error(`${path} is a checkpoint and does not say which images to measure it on; name them (--data)`);
  const range = recipe === undefined ? checkpointSetup(path).range : rangeOf(recipe.data);
  const evaluation = await evaluateEncoders(candidates, inRange(data, range), {
    seed,
    device,
    threads,
    maxBadShare,
    ...rest,
  });
  if (recipe === undefined) return evaluation;
  const elsewhere =
    options.data !== undefined && !isDeepStrictEqual(defineSource(inRange(options.data, range)), recipe.data);
  return addEvaluation(path, elsewhere ? onOtherData(evaluation, nameOf(options.data)) : evaluation);
}

/**
 * Measures encoders on a source with classes, without a run folder. Each is opened once, and its features are shared by
 * all protocols. Throws one sentence when nothing can be measured on these images.
 */
export async function evaluateEncoders(
  candidates: readonly Candidate[],
  data: SourceInput,
  {
    protocols: wanted = usual,
    maxBadShare = usualBadShare,
    onProgress,
    onScore,
    ...options
  }: Omit<EvaluateOptions, "data" | "encoders"> = {},
): Promise<Evaluation> {
  const own = wanted.filter((each) => typeof each !== "string");
  const names = wanted.map((each) => (typeof each === "string" ? each : each.name));
  const list = await tasksOf(data, options, own);
  const tasks = list.tasks.filter(({ protocol }) => names.includes(protocol));
  if (tasks.length === 0) {
    const possible = new Set(list.tasks.map(({ protocol }) => protocol));
    throw new Error(
      list.reason ??
        `none of ${names.join(", ")} can be measured on these images; possible: ${[...possible].join(", ")}`,
    );
  }
  const scores = tasks.map((): Record<string, Score> => ({}));
  const unreadable = new Map<string, string>();
  const classNotes = new Set<string>();
  let done = 0;
  for (const candidate of candidates) {
    const { name, title } = candidate;
    const opened = await candidate.open();
    let known: Features | undefined;
    const subject: Subject = {
      async features() {
        known ??= await opened.features(list.source);
        const bad = known.unreadable ?? [];
        checkBad(bad, list.source.length, maxBadShare);
        for (const { id, reason } of bad) unreadable.set(id, reason);
        if (bad.length > 0)
          for (const { question } of tasks)
            for (const note of question === undefined ? [] : unreadableClasses(question, known)) classNotes.add(note);
        return known;
      },
      ...("model" in opened && { encoder: opened }),
    };
    for (const [i, task] of tasks.entries()) {
      const tell = (share: number) =>
        onProgress?.(done + share, tasks.length * candidates.length, `${title}: ${task.label}`);
      tell(0);
      if (subject.encoder !== undefined || task.needs !== "encoder") {
        scores[i]![name] = await task.run(subject, { onProgress: (part, whole) => tell(part / whole) });
        const { question, needs } = task;
        const tested =
          question !== undefined && known !== undefined && needs === "features"
            ? { tested: readable(question, known).rows.test }
            : {};
        onScore?.({ candidate, task, score: scores[i]![name], source: list.source, ...tested });
      }
      done++;
    }
    await opened.release();
  }
  onProgress?.(done, done, "");
  const warnings = new Set(scores.flatMap((each) => Object.values(each).flatMap(({ warning }) => warning ?? [])));
  const notes = [
    ...(list.notes ?? []),
    ...(unreadable.size === 0 ? [] : [leftOut(unreadable)]),
    ...classNotes,
    ...warnings,
  ];
  return {
    columns: candidates.map(({ name, title }) => ({ name, title })),
    rows: tasks.map(({ protocol, label, metric, chance, settings }, i) => ({
      protocol,
      label,
      metric: metric.name,
      share: metric.share,
      values: column(scores[i]!, "value") ?? {},
      deviations: column(scores[i]!, "deviation"),
      validation: column(scores[i]!, "validation"),
      details: column(scores[i]!, "detail"),
      labels: Object.values(scores[i]!)[0]?.labels,
      chance,
      settings: { ...settings },
      better: metric.better,
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
