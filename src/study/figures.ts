/** The study's pictures. Colours of methods are of middle lightness, so that they stand on white and on dark pages alike. */
import * as Plot from "@observablehq/plot";
import { draw } from "../report/charts.ts";
import type { Html } from "../report/html.ts";
import { cosineDomain, ridgeChart } from "../report/ridges.ts";
import type { Entry } from "./plan.ts";
import type { StudyResults } from "./results.ts";
import { shotsOf } from "./table.ts";

export const colors: Readonly<Record<Entry, string>> = {
  "mim-first": "#3f7fd6",
  "cl-first": "#cf6a1d",
  mim: "#3f7fd6",
  cl: "#cf6a1d",
  mtl: "#a07a2c",
  "mim-to-cl": "#9a63c9",
  "cl-to-mim": "#d4568f",
  "layer-grafted": "#2f9157",
  "auto-grafted": "#1c91a3",
};
const grey = "var(--quiet)";

interface Curve {
  readonly title: string;
  readonly color: string;
  readonly dashed: boolean;
  readonly points: readonly { readonly x: string; readonly y: number; readonly spread: number }[];
}

/** Accuracy against the number of labels: a line per method, a band of one deviation over seeds around it. */
export function fewLabelsChart({ questions, baselines, entries }: StudyResults): Html | undefined {
  const asked = questions.flatMap((question, i) => {
    const x = shotsOf(question);
    return x === undefined ? [] : [{ x, i }];
  });
  const pointsOf = (means: readonly (number | null)[], deviations?: readonly (number | null)[]) =>
    asked.flatMap(({ x, i }) => {
      const y = means[i];
      return typeof y === "number" ? [{ x, y: 100 * y, spread: 100 * (deviations?.[i] ?? 0) }] : [];
    });
  const curves: Curve[] = [
    ...baselines.map(({ title, scores }) => ({ title, color: grey, dashed: true, points: pointsOf(scores) })),
    ...entries
      .filter(({ entry }) => entry !== "mim-first" && entry !== "cl-first")
      .map(({ entry, title, mean, deviation }) => ({
        title,
        color: colors[entry],
        dashed: false,
        points: pointsOf(mean, deviation),
      })),
  ].filter(({ points }) => points.length > 0);
  if (curves.length === 0) return undefined;

  // Numbers per class and shares of all labels are two scales: no line leads from one to the other.
  const lines = curves.flatMap((curve) =>
    curve.points.map((point) => ({ ...curve, ...point, line: `${curve.title} ${point.x.includes("%")}` })),
  );
  const height = 420;
  const top = Math.max(...lines.map(({ y, spread }) => y + spread));
  const ends = spreadOut(
    curves.map((curve) => ({ ...curve, ...curve.points.at(-1)! })),
    (top * 15) / (height - 70),
    top,
  );
  const channels = { x: "x", stroke: "color", z: "line" };
  return draw("accuracy against the number of labels, by method", {
    width: 760,
    height,
    marginTop: 30,
    marginLeft: 40,
    marginRight: 130,
    marginBottom: 40,
    x: {
      type: "point",
      domain: asked.map(({ x }) => x),
      label: "labels per class, or share of all labels",
      labelAnchor: "center",
      labelArrow: "none",
      tickSize: 0,
      padding: 0.1,
    },
    y: { domain: [0, top], label: "accuracy, %", tickSize: 0, labelArrow: "none", nice: true },
    marks: [
      Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.areaY(lines, {
        x: "x",
        y1: ({ y, spread }: (typeof lines)[number]) => y - spread,
        y2: ({ y, spread }: (typeof lines)[number]) => y + spread,
        z: "line",
        fill: "color",
        fillOpacity: 0.14,
      }),
      Plot.line(
        lines.filter(({ dashed }) => !dashed),
        { ...channels, y: "y", strokeWidth: 1.8 },
      ),
      Plot.line(
        lines.filter(({ dashed }) => dashed),
        { ...channels, y: "y", strokeWidth: 1.2, strokeDasharray: "4 3" },
      ),
      Plot.dot(lines, { x: "x", y: "y", fill: "color", r: 2.4 }),
      Plot.text(ends, {
        x: "x",
        y: "place",
        text: "title",
        fill: "color",
        textAnchor: "start",
        dx: 10,
        fontWeight: 600,
      }),
    ],
  });
}

/** k-NN and linear probe of every method: a dot per seed, a stroke at their mean. */
export function methodsChart({ questions, baselines, entries }: StudyResults): Html | undefined {
  const asked = questions.flatMap(({ protocol, short }, i) => (protocol === "few-shot" ? [] : [{ i, panel: short }]));
  const rows = [
    ...baselines.map(({ title, scores }) => ({ title, color: grey, mean: scores, seeds: [] as (readonly number[])[] })),
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
      return [{ title, color, panel, x: 100 * x, end: 100 * Math.max(x, ...seeds.map((scores) => scores[i]!)) }];
    }),
  );
  const dots = rows.flatMap(({ title, color, seeds }) =>
    asked.flatMap(({ i, panel }) => seeds.map((scores) => ({ title, color, panel, x: 100 * scores[i]! }))),
  );
  if (means.length === 0) return undefined;
  return draw("k-NN and linear probe accuracy of every method", {
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

/** A drawing as a file of its own: what the report's page would say of colours and letters is written into it. */
export function standalone({ text }: Html): string {
  const fixed: Readonly<Record<string, string>> = {
    line: "#8b949e40",
    quiet: "#7d8590",
    ink: "#7d8590",
    paper: "none",
    warn: "#c4731b",
    "base-1": "#8b9097",
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

/** Places for labels at the ends of lines, `gap` apart at least and none above `top`, in the order of the ends. */
function spreadOut<T extends { readonly y: number }>(
  ends: readonly T[],
  gap: number,
  top: number,
): (T & { place: number })[] {
  const placed = ends.toSorted((a, b) => a.y - b.y).map((end) => ({ ...end, place: end.y }));
  for (const [i, end] of placed.entries()) if (i > 0) end.place = Math.max(end.place, placed[i - 1]!.place + gap);
  for (const [i, end] of [...placed.entries()].toReversed())
    end.place = Math.min(end.place, i === placed.length - 1 ? top : placed[i + 1]!.place - gap);
  return placed;
}
