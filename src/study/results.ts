/** From the cells' evaluations to the study's table, and to what it says about the paper's claims. */
import { isDeepStrictEqual } from "node:util";
import { distribution } from "../evaluators/conflict.ts";
import type { Conflict, ConflictRow } from "../run/conflict.ts";
import type { Evaluation } from "../run/evaluation.ts";
import {
  budgetOf,
  cellsOf,
  chosenFactor,
  type Entry,
  entriesOf,
  epochsOf,
  isDone,
  learningRateOf,
  type Outcome,
  type Outcomes,
  searchOf,
  spentOf,
  type StudyOptions,
  titleOf,
} from "./design.ts";
import { compare, type Comparison, deviation, mean, type Verdict, verdictOf } from "./compare.ts";

type Row = Evaluation["rows"][number];

/** A column of the table. */
export interface Question {
  readonly protocol: string;
  readonly label: string;
  /** The label's beginning, for headings. */
  readonly short: string;
  /** Mean number of labels per class, where these are few. */
  readonly labels?: number | undefined;
  readonly chance?: number | undefined;
  /** What its scores are; `share` and `better` as in an evaluation. */
  readonly metric: string;
  readonly share?: Row["share"];
  readonly better?: Row["better"];
}

/** A row of the table. Lists of scores go by question, null where there is none. */
export interface EntryResult {
  readonly entry: Entry;
  readonly title: string;
  /** Epochs of its own stage. */
  readonly epochs: number;
  /** Training work with that of its first stage, as a share of the budget. */
  readonly spent: number;
  /** The chosen peak learning rate (for a batch of 256) of its own stage; absent while it is searched for. */
  readonly learningRate?: number;
  /** Validation accuracy (k-NN, first seed) of each learning rate tried; null when it failed or is still to come. */
  readonly search: readonly { readonly learningRate: number; readonly validation: number | null }[];
  readonly seeds: readonly {
    readonly seed: number;
    readonly cell: string;
    readonly scores: readonly (number | null)[];
  }[];
  readonly mean: readonly (number | null)[];
  /** Sample standard deviation over seeds; null with fewer than two. */
  readonly deviation: readonly (number | null)[];
}

/** Something measured once: a random encoder, pixels. */
export interface Baseline {
  readonly title: string;
  readonly scores: readonly (number | null)[];
}

/** What the study says about a claim of the paper. */
export interface Statement {
  readonly claim: string;
  /** What was compared, as `k-NN: MIM → CL minus MTL`. */
  readonly compared: string;
  readonly comparison: Comparison;
  /** Whether the difference is one of shares (default). */
  readonly share?: Row["share"];
  readonly verdict: Verdict;
}

export interface StudyResults {
  readonly questions: readonly Question[];
  readonly baselines: readonly Baseline[];
  readonly entries: readonly EntryResult[];
  readonly statements: readonly Statement[];
  /** Mean paired difference over seeds, of every two rows with the same budget. */
  readonly differences: readonly (Comparison & {
    readonly measure: string;
    readonly entry: Entry;
    readonly minus: Entry;
  })[];
  /** How the two losses lie to each other in joint training, one row per block over the batches of all seeds. */
  readonly conflict: readonly ConflictRow[];
  readonly failed: readonly { readonly cell: string; readonly reason: string }[];
}

/** What is known of a study. */
export interface Known {
  /** By cell; one column each. */
  readonly evaluations: ReadonlyMap<string, Evaluation>;
  /** Reasons by cell. */
  readonly failures: ReadonlyMap<string, string>;
  /** Of jointly trained cells. */
  readonly conflicts?: ReadonlyMap<string, Conflict>;
  /** Encoders that need no training, a column each. */
  readonly baselines?: Evaluation;
}

/** What the design needs of what is known. */
export function outcomesOf({ evaluations, failures }: Known): Outcomes {
  const failed = [...failures].map(([cell, reason]): [string, Outcome] => [cell, { failed: reason }]);
  const done = [...evaluations].map(([cell, evaluation]): [string, Outcome] => [cell, validationOf(evaluation)]);
  return new Map([...failed, ...done]);
}

function validationOf({ rows, columns }: Evaluation): Outcome {
  const row = rows.find(({ protocol, metric }) => protocol === "knn" && metric === "accuracy");
  const validation = row?.validation?.[columns[0]!.name];
  if (validation === undefined) throw new Error("the evaluation of a cell has no k-NN accuracy on a validation split");
  return { validation };
}

/** The row of fine-tuning as the study asks for it; undefined when it does not, or when it was not measured so yet. */
export function fineTuningIn({ rows }: Evaluation, { evaluation: { fineTune } }: StudyOptions): Row | undefined {
  if (fineTune === undefined) return undefined;
  const asked = Object.entries(fineTune);
  const isAsked = ({ settings }: Row) => asked.every(([name, value]) => isDeepStrictEqual(settings?.[name], value));
  return rows.find((row) => row.protocol === "fine-tune" && isAsked(row));
}

export function resultsOf(options: StudyOptions, known: Known): StudyResults {
  const outcomes = outcomesOf(known);
  const questions = questionsOf(known.baselines ?? [...known.evaluations.values()][0], options);
  const scoresOf = (evaluation: Evaluation, column: string) =>
    questions.map(({ protocol, label }) => {
      const tuned = protocol === "fine-tune";
      const row = tuned ? fineTuningIn(evaluation, options) : evaluation.rows.find((each) => each.label === label);
      return row?.values[column] ?? null;
    });
  const cells = cellsOf(options, outcomes);
  const entries = entriesOf(options).map((entry): EntryResult => {
    const factor = chosenFactor(options, outcomes, entry);
    const seeds = cells.flatMap((cell) => {
      const evaluation = known.evaluations.get(cell.id);
      if (cell.entry !== entry || cell.factor !== factor || evaluation === undefined) return [];
      const scores = scoresOf(evaluation, evaluation.columns[0]!.name);
      return [{ seed: cell.seed, cell: cell.id, scores }];
    });
    const columns = questions.map((_, i) => seeds.flatMap(({ scores }) => scores[i] ?? []));
    return {
      entry,
      title: titleOf(entry),
      epochs: epochsOf(options, entry),
      spent: spentOf(options, entry) / budgetOf(options),
      ...(factor === undefined ? {} : { learningRate: learningRateOf(options, entry, factor) }),
      search: searchOf(options, outcomes, entry).map((cell) => {
        const outcome = outcomes.get(cell.id);
        const learningRate = learningRateOf(options, entry, cell.factor);
        return { learningRate, validation: isDone(outcome) ? outcome.validation : null };
      }),
      seeds,
      mean: columns.map((values) => (values.length === 0 ? null : mean(values))),
      deviation: columns.map((values) => (values.length < 2 ? null : deviation(values))),
    };
  });
  const joint = entries.find(({ entry }) => entry === "mtl")?.seeds ?? [];
  const conflicts = new Map(
    joint.flatMap(({ seed, cell }) => {
      const conflict = known.conflicts?.get(cell);
      return conflict === undefined ? [] : [[seed, conflict] as const];
    }),
  );
  return {
    questions,
    baselines: (known.baselines?.columns ?? []).map(({ name, title }) => ({
      title,
      scores: scoresOf(known.baselines!, name),
    })),
    entries,
    statements: [...statementsOf(questions, entries), ...conflictStatement(conflicts)],
    differences: differencesOf(questions, entries),
    conflict: pooled([...conflicts.values()]),
    failed: [...known.failures].map(([cell, reason]) => ({ cell, reason })).sort((a, b) => (a.cell < b.cell ? -1 : 1)),
  };
}

/** What the table asks: the first question each of k-NN and the linear probe, all with few labels, and fine-tuning. */
function questionsOf(evaluation: Evaluation | undefined, options: StudyOptions): Question[] {
  if (evaluation === undefined) return [];
  const { rows } = evaluation;
  const first = (name: string) => rows.find(({ protocol }) => protocol === name) ?? [];
  const few = rows.filter(({ protocol }) => protocol === "few-shot");
  const wanted = [first("knn"), first("linear"), few, fineTuningIn(evaluation, options) ?? []].flat();
  return wanted.map(({ protocol, label, labels, chance, metric, share, better }) => ({
    protocol,
    label,
    short: label.split(/,| \(/)[0]!,
    labels,
    chance,
    metric,
    share,
    better,
  }));
}

/** What methods are compared by: a number per seed, the mean over the questions that `asks` picks. */
const measures = {
  knn: { title: "k-NN", asks: ({ protocol }) => protocol === "knn" },
  linear: { title: "linear probe", asks: ({ protocol }) => protocol === "linear" },
  few: { title: "few labels (mean)", asks: ({ protocol }) => protocol === "few-shot" },
  percent: { title: "1 % of labels", asks: ({ short }) => short === "1 % of labels" },
  tuned: { title: "fine-tuning", asks: ({ protocol }) => protocol === "fine-tune" },
} as const satisfies Record<string, { title: string; asks: (question: Question) => boolean }>;
type Measure = keyof typeof measures;

function statementsOf(questions: readonly Question[], entries: readonly EntryResult[]): Statement[] {
  const questionOf = (measure: Measure) => questions.find(measures[measure].asks);
  const isLowerBetter = (measure: Measure) => questionOf(measure)?.better === "lower";
  const of = (name: Entry, measure: Measure) => bySeed(questions, entries, name, measure);
  const state = (claim: string, measure: Measure, better: Entry | undefined, worse: Entry | undefined): Statement[] => {
    if (better === undefined || worse === undefined) return [];
    const [high, low] = isLowerBetter(measure) ? [worse, better] : [better, worse];
    const compared = `${measures[measure].title}: ${titleOf(high)} minus ${titleOf(low)}`;
    const comparison = compare(of(high, measure), of(low, measure));
    if (comparison === undefined) return [];
    return [{ claim, compared, comparison, share: questionOf(measure)?.share, verdict: verdictOf(comparison) }];
  };
  const ranked = (measure: Measure, names: readonly Entry[]) =>
    names
      .map((name) => ({ name, values: [...of(name, measure).values()] }))
      .filter(({ values }) => values.length > 0)
      .sort((a, b) => (isLowerBetter(measure) ? -1 : 1) * (mean(b.values) - mean(a.values)))
      .map(({ name }) => name);
  const best = (claim: string, measure: Measure) =>
    state(claim, measure, "layer-grafted", ranked(measure, ["mim", "cl", "mtl", "mim-to-cl", "cl-to-mim"])[0]);
  const frozen = ["knn", "linear", "few"] as const;
  return [
    ...frozen.flatMap((measure) => state("MIM → CL is better than joint training", measure, "mim-to-cl", "mtl")),
    ...frozen.flatMap((measure) =>
      state(
        "CL → MIM is the worst way to combine the two",
        measure,
        ranked(measure, ["mtl", "mim-to-cl", "layer-grafted"]).at(-1),
        "cl-to-mim",
      ),
    ),
    ...state("joint training is below MIM alone with 1 % of labels", "percent", "mim", "mtl"),
    ...state("joint training is below MIM alone in fine-tuning", "tuned", "mim", "mtl"),
    ...best("layer-grafted is the best with few labels", "few"),
    ...best("layer-grafted is the best in fine-tuning", "tuned"),
  ];
}

/** The paper's Figure 1 in one number: how much the mean cosine of a block falls from one block to the next. */
function conflictStatement(conflicts: ReadonlyMap<number, Conflict>): Statement[] {
  const falls = new Map([...conflicts].map(([seed, { trends }]) => [seed, -trends.block.slopePerBlock]));
  const comparison = compare(falls, new Map([...falls.keys()].map((seed) => [seed, 0])));
  if (comparison === undefined) return [];
  const compared = "MTL: fall of the mean cosine of both gradients from block to block, in hundredths";
  return [{ claim: "the conflict grows with depth", compared, comparison, verdict: verdictOf(comparison) }];
}

/** The batches of several encoders as if they were of one. */
function pooled(conflicts: readonly Conflict[]): ConflictRow[] {
  const blocks = conflicts.map(({ rows }) => rows.filter(({ group }) => group === "block"));
  return (blocks[0] ?? []).map(({ block, group }, i) => {
    const all = (name: "cosines" | "mimNorms" | "clNorms") => blocks.flatMap((rows) => rows[i]![name]);
    const cosines = all("cosines");
    return { block, group, ...distribution(cosines), cosines, mimNorms: all("mimNorms"), clNorms: all("clNorms") };
  });
}

function differencesOf(questions: readonly Question[], entries: readonly EntryResult[]) {
  const names = entries.map(({ entry }) => entry).filter((name) => name !== "mim-first" && name !== "cl-first");
  return (Object.keys(measures) as Measure[]).flatMap((measure) =>
    names.flatMap((entry, i) =>
      names.slice(i + 1).flatMap((minus) => {
        const [a, b] = [entry, minus].map((name) => bySeed(questions, entries, name, measure));
        const comparison = compare(a!, b!);
        return comparison === undefined ? [] : [{ measure: measures[measure].title, entry, minus, ...comparison }];
      }),
    ),
  );
}

/** Seed → the mean over the questions of a measure, of the seeds that have answered all of them. */
function bySeed(
  questions: readonly Question[],
  entries: readonly EntryResult[],
  name: Entry,
  measure: Measure,
): ReadonlyMap<number, number> {
  const found = entries.find(({ entry }) => entry === name)?.seeds ?? [];
  const asked = questions.flatMap((question, i) => (measures[measure].asks(question) ? [i] : []));
  if (asked.length === 0) return new Map();
  const answers = found.map(({ seed, scores }) => ({ seed, values: asked.flatMap((i) => scores[i] ?? []) }));
  return new Map(
    answers.flatMap(({ seed, values }) => (values.length < asked.length ? [] : [[seed, mean(values)] as const])),
  );
}
