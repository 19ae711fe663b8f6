/** From the cells' evaluations to the study's table, and to what it says about the paper's claims. */
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
} from "./plan.ts";
import { compare, type Comparison, deviation, mean, type Verdict, verdictOf } from "./compare.ts";

/** A column of the table. */
export interface Question {
  readonly protocol: string;
  readonly label: string;
  /** The label's beginning, for headings. */
  readonly short: string;
  /** Mean number of labels per class, where these are few. */
  readonly labels?: number;
  readonly chance?: number;
}

/** A row of the table. Lists of scores go by question, null where there is none; scores are shares in [0, 1]. */
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
  readonly seeds: readonly { readonly seed: number; readonly cell: string; readonly scores: readonly number[] }[];
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

/** What the plan needs of what is known. */
export function outcomesOf({ evaluations, failures }: Known): Outcomes {
  const failed = [...failures].map(([cell, reason]): [string, Outcome] => [cell, { failed: reason }]);
  const done = [...evaluations].map(([cell, evaluation]): [string, Outcome] => [cell, validationOf(evaluation)]);
  return new Map([...failed, ...done]);
}

function validationOf({ rows, columns }: Evaluation): Outcome {
  const row = rows.find(({ protocol }) => protocol === "knn");
  const validation = row?.validation?.[columns[0]!.name];
  if (validation === undefined) throw new Error("the evaluation of a cell has no k-NN accuracy on a validation split");
  return { validation };
}

export function resultsOf(options: StudyOptions, known: Known): StudyResults {
  const outcomes = outcomesOf(known);
  const questions = questionsOf(known.baselines ?? [...known.evaluations.values()][0]);
  const scoresOf = (evaluation: Evaluation, column: string) =>
    questions.map(({ label }) => evaluation.rows.find((row) => row.label === label)?.values[column] ?? null);
  const cells = cellsOf(options, outcomes);
  const entries = entriesOf(options).map((entry): EntryResult => {
    const factor = chosenFactor(options, outcomes, entry);
    const seeds = cells.flatMap((cell) => {
      const evaluation = known.evaluations.get(cell.id);
      if (cell.entry !== entry || cell.factor !== factor || evaluation === undefined) return [];
      const scores = scoresOf(evaluation, evaluation.columns[0]!.name).map((score) => score ?? Number.NaN);
      return [{ seed: cell.seed, cell: cell.id, scores }];
    });
    const columns = questions.map((_, i) => seeds.map(({ scores }) => scores[i]!));
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

/** What the table asks: the first question each of k-NN and the linear probe, and all with few labels. */
function questionsOf(evaluation: Evaluation | undefined): Question[] {
  const rows = evaluation?.rows ?? [];
  const first = (name: string) => rows.find(({ protocol }) => protocol === name) ?? [];
  const wanted = [first("knn"), first("linear"), rows.filter(({ protocol }) => protocol === "few-shot")].flat();
  return wanted.map(({ protocol, label, labels, chance }) => ({
    protocol,
    label,
    short: label.split(",")[0]!,
    ...(labels === undefined ? {} : { labels }),
    ...(chance === undefined ? {} : { chance }),
  }));
}

/** What methods are compared by: a number per seed. */
const measures = { knn: "k-NN", linear: "linear probe", "few-shot": "few labels (mean)" } as const;
type Measure = keyof typeof measures;

function statementsOf(questions: readonly Question[], entries: readonly EntryResult[]): Statement[] {
  const of = (name: Entry, measure: Measure) => bySeed(questions, entries, name, measure);
  const state = (claim: string, measure: Measure, better: Entry | undefined, worse: Entry | undefined): Statement[] => {
    if (better === undefined || worse === undefined) return [];
    const compared = `${measures[measure]}: ${titleOf(better)} minus ${titleOf(worse)}`;
    const comparison = compare(of(better, measure), of(worse, measure));
    return comparison === undefined ? [] : [{ claim, compared, comparison, verdict: verdictOf(comparison) }];
  };
  const ranked = (measure: Measure, names: readonly Entry[]) =>
    names
      .map((name) => ({ name, values: [...of(name, measure).values()] }))
      .filter(({ values }) => values.length > 0)
      .sort((a, b) => mean(b.values) - mean(a.values))
      .map(({ name }) => name);
  const all = Object.keys(measures) as Measure[];
  return [
    ...all.flatMap((measure) => state("MIM → CL is better than joint training", measure, "mim-to-cl", "mtl")),
    ...all.flatMap((measure) =>
      state(
        "CL → MIM is the worst way to combine the two",
        measure,
        ranked(measure, ["mtl", "mim-to-cl", "layer-grafted"]).at(-1),
        "cl-to-mim",
      ),
    ),
    ...state(
      "layer-grafted is the best with few labels",
      "few-shot",
      "layer-grafted",
      ranked("few-shot", ["mim", "cl", "mtl", "mim-to-cl", "cl-to-mim"])[0],
    ),
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
        return comparison === undefined ? [] : [{ measure: measures[measure], entry, minus, ...comparison }];
      }),
    ),
  );
}

/** Seed → the mean over the questions of a protocol. */
function bySeed(
  questions: readonly Question[],
  entries: readonly EntryResult[],
  name: Entry,
  protocol: Measure,
): ReadonlyMap<number, number> {
  const found = entries.find(({ entry }) => entry === name)?.seeds ?? [];
  const asked = questions.flatMap((question, i) => (question.protocol === protocol ? [i] : []));
  if (asked.length === 0) return new Map();
  return new Map(found.map(({ seed, scores }) => [seed, mean(asked.map((i) => scores[i]!))]));
}
