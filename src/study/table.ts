/**
 * The study's table as text: mean ± deviation over seeds, the best of a column bold. Numbers are accuracies in per cent
 * where the head of a column says nothing else.
 */
import { metricNumber, metricTitle } from "../report/format.ts";
import type { Question, StudyResults } from "./results.ts";

/** A line of the table: a method, or something that was measured once. */
export interface Line {
  readonly title: string;
  /** Share of the budget spent; none for what needs no training. */
  readonly spent?: number;
  readonly values: readonly {
    readonly mean: number | null;
    readonly deviation: number | null;
    readonly best: boolean;
  }[];
}

/** The table's lines: baselines, then first stages and methods. */
export function linesOf({ baselines, entries, questions }: StudyResults): Line[] {
  const best = questions.map(({ better }, i) => {
    const means = entries.flatMap(({ mean }) => mean[i] ?? []);
    return better === "lower" ? Math.min(...means) : Math.max(...means);
  });
  return [
    ...baselines.map(({ title, scores }) => ({
      title,
      values: scores.map((mean) => ({ mean, deviation: null, best: false })),
    })),
    ...entries.map(({ title, spent, mean, deviation }) => ({
      title,
      spent,
      values: mean.map((value, i) => ({ mean: value, deviation: deviation[i]!, best: value === best[i] })),
    })),
  ];
}

/** For GitHub and other places that read Markdown. */
export function markdownTable(results: StudyResults): string {
  return markdown(tableRows(results, (shown, best) => (best ? `**${shown}**` : shown)));
}

/** The table as text by row, heads first; `mark` writes a score, which may be the best of its column. */
export function tableRows(results: StudyResults, mark: (shown: string, best: boolean) => string): string[][] {
  const { questions } = results;
  return [
    ["accuracy, %", "budget", ...questions.map(headOf)],
    ...linesOf(results).map(({ title, spent, values }) => [
      title,
      spent === undefined ? "" : `${Math.round(100 * spent)} %`,
      ...values.map(({ mean, deviation, best }, i) => mark(formatScore(questions[i]!, mean, deviation), best)),
    ]),
  ];
}

/** For programs: one line per method and seed, and one per baseline; shares as numbers from 0 to 1. */
export function csvTable({ questions, baselines, entries }: StudyResults): string {
  const quote = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const text = (value: string | number | null) => (value === null ? "" : String(value));
  const lines = [
    [
      "method",
      "seed",
      "learning rate",
      "epochs",
      "budget",
      ...questions.map(({ label, metric }) => (metric === "accuracy" ? label : `${label}: ${metric}`)),
    ],
    ...baselines.map(({ title, scores }) => [title, "", "", "", "", ...scores.map(text)]),
    ...entries.flatMap(({ title, learningRate, epochs, spent, seeds }) =>
      seeds.map(({ seed, scores }) => [title, seed, learningRate ?? null, epochs, spent, ...scores].map(text)),
    ),
  ];
  return lines.map((line) => `${line.map(quote).join(",")}\n`).join("");
}

/** `k-NN`, or `1 label per class: loss (lower is better)` of another metric than accuracy. */
export function headOf(question: Question): string {
  const { short, metric } = question;
  return metric === "accuracy" ? short : `${short}: ${metricTitle(question)}`;
}

/** `45.1 ± 0.6`, `45.1` or `–` */
export function formatScore(question: Question, mean: number | null, deviation: number | null): string {
  if (mean === null) return "–";
  const shown = metricNumber(question, mean);
  return deviation === null ? shown : `${shown} ± ${metricNumber(question, deviation)}`;
}

function markdown(lines: readonly (readonly string[])[]): string {
  const [head, ...rest] = lines as [readonly string[], ...(readonly string[])[]];
  const rule = head.map((_, i) => (i === 0 ? "---" : "---:"));
  return [head, rule, ...rest].map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}
