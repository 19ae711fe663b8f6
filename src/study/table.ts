/** The study's table as text. Accuracies in per cent, mean ± deviation over seeds, the best of a column bold. */
import type { StudyResults } from "./results.ts";

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
  const best = questions.map((_, i) => Math.max(...entries.map(({ mean }) => mean[i] ?? Number.NEGATIVE_INFINITY)));
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
  const heads = ["accuracy, %", "budget", ...results.questions.map(({ short }) => short)];
  const lines = linesOf(results).map(({ title, spent, values }) => [
    title,
    spent === undefined ? "" : `${Math.round(100 * spent)} %`,
    ...values.map(({ mean, deviation, best }) => {
      const shown = formatScore(mean, deviation);
      return best ? `**${shown}**` : shown;
    }),
  ]);
  return markdown([heads, ...lines]);
}

/** For programs: one line per method and seed, and one per baseline; accuracies as shares. */
export function csvTable({ questions, baselines, entries }: StudyResults): string {
  const quote = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const text = (value: string | number | null) => (value === null ? "" : String(value));
  const lines = [
    ["method", "seed", "learning rate", "epochs", "budget", ...questions.map(({ label }) => label)],
    ...baselines.map(({ title, scores }) => [title, "", "", "", "", ...scores.map(text)]),
    ...entries.flatMap(({ title, learningRate, epochs, spent, seeds }) =>
      seeds.map(({ seed, scores }) => [title, seed, learningRate ?? null, epochs, spent, ...scores].map(text)),
    ),
  ];
  return lines.map((line) => `${line.map(quote).join(",")}\n`).join("");
}

/** `45.1 ± 0.6`, `45.1` or `–` */
export function formatScore(mean: number | null, deviation: number | null): string {
  if (mean === null) return "–";
  const share = (value: number) => (100 * value).toFixed(1);
  return deviation === null ? share(mean) : `${share(mean)} ± ${share(deviation)}`;
}

function markdown(lines: readonly (readonly string[])[]): string {
  const [head, ...rest] = lines as [readonly string[], ...(readonly string[])[]];
  const rule = head.map((_, i) => (i === 0 ? "---" : "---:"));
  return [head, rule, ...rest].map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}
