/** The study's pictures. */
import * as Plot from "@observablehq/plot";
import { draw } from "../report/charts.ts";
import { type Curve, curveChart } from "../report/curves.ts";
import { axisValue } from "../report/format.ts";
import type { Html } from "../report/html.ts";
import { isShareOfLabels } from "../report/sections/label-efficiency.ts";
import { cosineDomain, ridgeChart } from "../report/ridges.ts";
import type { Entry } from "./design.ts";
import type { StudyResults } from "./results.ts";

export const colors: Readonly<Record<Entry, string>> = {
  "mim-first": "var(--stage-1)",
  "cl-first": "var(--stage-2)",
  mim: "var(--stage-1)",
  cl: "var(--stage-2)",
  "mim-to-cl": "var(--stage-3)",
  "auto-grafted": "var(--stage-4)",
  "cl-to-mim": "var(--stage-5)",
  mtl: "var(--stage-6)",
  "layer-grafted": "var(--stage-7)",
};
const grey = "var(--quiet)";

/** Scores against the number of labels: a line per method, a band of one deviation over seeds around it. */
export function fewLabelsChart({ questions, baselines, entries }: StudyResults): Html | undefined {
  const asked = questions
    .flatMap(({ labels, label }, i) => (labels === undefined ? [] : [{ x: labels, i, share: isShareOfLabels(label) }]))
    .sort((a, b) => a.x - b.x);
  if (asked.length < 2) return undefined;
  const question = questions[asked[0]!.i]!; // one protocol asks all of them, so they have one metric
  const rows = [
    ...baselines.map(({ title, scores }) => ({ title, color: grey, dashed: true, mean: scores, deviation: [] })),
    ...entries
      .filter(({ entry }) => entry !== "mim-first" && entry !== "cl-first")
      .map(({ entry, title, mean, deviation }) => ({ title, color: colors[entry], dashed: false, mean, deviation })),
  ];
  const curves = rows.flatMap(({ mean, deviation, ...row }): Curve[] =>
    [false, true].flatMap((shares) => {
      const points = asked.flatMap(({ x, i, share }) => {
        const y = mean[i];
        return share === shares && typeof y === "number" ? [{ x, y, spread: deviation[i] ?? 0 }] : [];
      });
      return points.length === 0 ? [] : [{ ...row, points }];
    }),
  );
  if (curves.length === 0) return undefined;
  return curveChart(curves, {
    label: `${question.metric} against the number of labels, by method`,
    xLabel: "labels per class (logarithmic)",
    width: 760,
    height: 420,
    log: true,
    zero: true,
    format: (value) => axisValue(question, value),
  });
}

/** Accuracy of every method by k-NN, linear probe and fine-tuning: a dot per seed, a stroke at their mean. */
export function methodsChart({ questions, baselines, entries }: StudyResults): Html | undefined {
  const asked = questions.flatMap(({ protocol, metric, short }, i) =>
    protocol === "few-shot" || metric !== "accuracy" ? [] : [{ i, panel: short }],
  );
  const rows = [
    ...baselines.map(({ title, scores }) => ({
      title,
      color: grey,
      mean: scores,
      seeds: [] as (readonly (number | null)[])[],
    })),
    ...entries.map(({ entry, title, mean, seeds }) => ({
      title,
      color: colors[entry],
      mean,
      seeds: seeds.map(({ scores }) => scores),
    })),
  ];
  const means = rows.flatMap(({ title, color, mean, seeds }) =>
    asked.flatMap(({ i, panel }) => {
      const x = mean[i];
      if (typeof x !== "number") return [];
      return [
        { title, color, panel, x: 100 * x, end: 100 * Math.max(x, ...seeds.flatMap((scores) => scores[i] ?? [])) },
      ];
    }),
  );
  const dots = rows.flatMap(({ title, color, seeds }) =>
    asked.flatMap(({ i, panel }) =>
      seeds.flatMap((scores) => {
        const score = scores[i];
        return typeof score === "number" ? [{ title, color, panel, x: 100 * score }] : [];
      }),
    ),
  );
  if (means.length === 0) return undefined;
  return draw(`accuracy of every method: ${asked.map(({ panel }) => panel).join(", ")}`, {
    width: 760,
    height: 60 + 26 * rows.length,
    marginTop: 28,
    marginLeft: 112,
    marginRight: 44,
    marginBottom: 36,
    x: { label: "accuracy, %", labelAnchor: "center", labelArrow: "none", tickSize: 0, ticks: 5, nice: true },
    y: { type: "band", domain: rows.map(({ title }) => title), label: null, tickSize: 0 },
    fx: { domain: asked.map(({ panel }) => panel), label: null, padding: 0.16 },
    marks: [
      Plot.gridX({ stroke: "var(--line)", strokeOpacity: 1, ticks: 5 }),
      Plot.dot(dots, { x: "x", y: "title", fx: "panel", fill: "color", fillOpacity: 0.5, r: 3.5 }),
      Plot.tickX(means, { x: "x", y: "title", fx: "panel", stroke: "color", strokeWidth: 2.2, inset: 4 }),
      Plot.text(means, {
        x: "end",
        y: "title",
        fx: "panel",
        text: ({ x }: (typeof means)[number]) => x.toFixed(1),
        fill: "color",
        textAnchor: "start",
        dx: 9,
        fontWeight: 600,
      }),
    ],
  });
}

/** The cosines of the two losses' gradients in every block of the jointly trained encoders. */
export function conflictChart({ conflict }: StudyResults): Html | undefined {
  if (conflict.length === 0) return undefined;
  return ridgeChart(conflict, {
    label: "cosine of the gradients of both losses in each block",
    domain: cosineDomain(conflict),
  });
}

/**
 * A drawing as a file of its own: what the report's page would say of colours and letters is written into it. Its colours
 * are of middle lightness, so that they stand on white and on dark pages alike.
 */
export function standalone({ text }: Html): string {
  const fixed: Readonly<Record<string, string>> = {
    line: "#8b949e40",
    quiet: "#7d8590",
    ink: "#7d8590",
    paper: "none",
    warn: "#c4731b",
    "base-1": "#8b9097",
    "stage-1": "#3f7fd6",
    "stage-2": "#cf6a1d",
    "stage-3": "#9a63c9",
    "stage-4": "#1c91a3",
    "stage-5": "#d4568f",
    "stage-6": "#a07a2c",
    "stage-7": "#2f9157",
  };
  const [, width, height] = /viewBox="0 0 ([\d.]+) ([\d.]+)"/.exec(text)!;
  const font = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
  return `${text
    .replaceAll(/var\(--([\w-]+)\)/g, (_, name: string) => fixed[name]!)
    .replace(/<svg[^>]*>/, (tag) => {
      const plain = tag.replaceAll(/ (?:width|height|xmlns|style)="[^"]*"/g, "").slice(0, -1);
      return `${plain} xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" style="font: 12px ${font}; color: ${fixed["quiet"]}">`;
    })}\n`;
}
