import { type Conflict, parameterGroups } from "../run/conflict.ts";
import type { Analysis } from "../run/analysis.ts";
import type { Layers } from "../run/layers.ts";
import type { Evaluation } from "../run/evaluation.ts";
import { printable } from "../tensor/text.ts";
import { metricNumber, metricTitle } from "../report/format.ts";

/** The results as text: a table per metric, one row per question, one column per encoder. */
export function formatEvaluation({ columns, rows, notes = [] }: Evaluation): string {
  const tables = [...new Set(rows.map(metricTitle))].map((title) =>
    align([
      [title, ...columns.map(({ title }) => title), "chance"],
      ...rows.filter((row) => metricTitle(row) === title).map((row) => evaluationLine(row, columns)),
    ]),
  );
  return [tables.join("\n\n"), ...notes].join("\n");
}

function evaluationLine(row: Evaluation["rows"][number], columns: Evaluation["columns"]): string[] {
  const { label, data, values, deviations, chance } = row;
  const cell = (value: number | null | undefined, deviation?: number | null) => {
    if (value === undefined || value === null) return "–";
    const spread = deviation === undefined || deviation === null ? "" : ` ±${metricNumber(row, deviation)}`;
    return `${metricNumber(row, value)}${spread}`;
  };
  return [
    data === undefined ? label : `${data}: ${label}`,
    ...columns.map(({ name }) => cell(values[name], deviations?.[name])),
    cell(chance),
  ];
}

/** Accuracy of every block's output, a column per encoder. */
export function formatLayers({ label, encoders }: Layers): string {
  const depths = encoders[0]?.scores.map(({ depth }) => depth) ?? [];
  const lines = depths.map((depth, i) => [
    depth === 0 ? "embedding" : `block ${depth - 1}`,
    ...encoders.map(({ scores }) => (100 * scores[i]!.value).toFixed(1)),
  ]);
  return align([[`${label} by layer, %`, ...encoders.map(({ title }) => title)], ...lines]);
}

/** Where heads look and how features are spread, a column per encoder. */
export function formatAnalysis({ encoders, notes = [] }: Analysis): string {
  const rows = encoders[0]!.distances.map(({ block }) => [
    `attention distance of block ${block}, pixels`,
    ...encoders.map(({ distances }) => distances[block]?.mean.toFixed(1) ?? "–"),
  ]);
  const last = (what: "deviation" | "participationRatio") =>
    encoders.map(({ statistics }) => statistics.at(-1)![what].toFixed(2));
  return [
    align([
      ["inside the encoders", ...encoders.map(({ title }) => title)],
      ...rows,
      ["deviation of the last block's features", ...last("deviation")],
      ["participation ratio of them", ...last("participationRatio")],
    ]),
    ...notes,
  ].join("\n");
}

/** One row per block, input side first: the cosine of the whole block, and its mean in each group of parameters. */
export function formatConflict({ rows }: Conflict): string {
  const cosine = (value: number) => value.toFixed(3).replace("-0.000", "0.000");
  const groups = parameterGroups.filter((group) => group !== "block");
  const whole = rows.filter(({ group }) => group === "block");
  return align([
    ["cosine", "mean", "5 %", "95 %", "negative", "of mean gradients", ...groups],
    ...whole.map(({ block, mean, quantiles, negative, ofMeans }) => [
      `block ${block}`,
      ...[mean, quantiles.p5, quantiles.p95].map(cosine),
      `${(100 * negative).toFixed(0)} %`,
      ofMeans === undefined ? "–" : cosine(ofMeans),
      ...groups.map((wanted) => cosine(rows.find((row) => row.block === block && row.group === wanted)!.mean)),
    ]),
  ]);
}

/** Lines of cells as a table: the first line is its head, the columns `left` stand left and the others right. */
export function align(table: readonly (readonly string[])[], left: readonly number[] = [0]): string {
  const lines = table.map((cells) => cells.map(printable));
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const text = lines.map((line) =>
    line
      .map((each, i) => (left.includes(i) ? each.padEnd(widths[i]!) : each.padStart(widths[i]!)))
      .join("   ")
      .trimEnd(),
  );
  const rule = widths.map((width) => "─".repeat(width)).join("───");
  return [text[0], rule, ...text.slice(1)].join("\n");
}
