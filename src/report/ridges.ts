/** The distribution of cosines in every block, as one ridge each: below zero in a colour of its own. */
import * as Plot from "@observablehq/plot";
import type { ConflictRow } from "../run/conflict.ts";
import { draw } from "./charts.ts";
import type { Html } from "./html.ts";
import type { Point } from "./series.ts";

export const conflictColor = "var(--warn)";
export const agreementColor = "var(--base-1)";

export interface RidgeOptions {
  /** Said by screen readers. */
  readonly label: string;
  /** Cosines that the axis reaches from and to. */
  readonly domain: readonly [number, number];
  /** `large` is half a page wide, `small` a third (default: large). */
  readonly size?: "large" | "small";
}

/** One ridge per row, the first one at the bottom, all of the same height; on the right the share below zero. */
export function ridgeChart(rows: readonly ConflictRow[], { label, domain, size = "large" }: RidgeOptions): Html {
  const small = size === "small";
  const top = rows.length - 1;
  const height = 0.86;
  const ridges = rows.map(({ cosines }, place) => {
    const curve = density(cosines, domain);
    const peak = Math.max(...curve.map(({ y }) => y));
    return curve.map(({ x, y }) => ({ x, low: place, high: place + (height * y) / peak }));
  });
  const part = (points: (typeof ridges)[number], color: string) => [
    Plot.areaY(points, { x: "x", y1: "low", y2: "high", fill: color, fillOpacity: 0.35 }),
    Plot.lineY(points, { x: "x", y: "high", stroke: color, strokeWidth: small ? 1 : 1.4 }),
  ];
  const named = small ? rows.filter(({ block }) => block === 0 || block === top) : rows;
  return draw(label, {
    width: small ? 300 : 460,
    height: (small ? 40 : 56) + (small ? 18 : 30) * rows.length,
    marginLeft: small ? 48 : 62,
    marginRight: small ? 42 : 76,
    marginTop: small ? 10 : 24,
    marginBottom: small ? 22 : 36,
    x: {
      domain: [...domain],
      label: small ? null : "cosine of the two gradients",
      labelAnchor: "center",
      labelArrow: "none",
      ticks: small ? 4 : 6,
      tickSize: 0,
    },
    y: { axis: null, domain: [0, rows.length] },
    marks: [
      Plot.gridX({ stroke: "var(--line)", strokeOpacity: 1, ticks: small ? 4 : 6 }),
      Plot.ruleY(
        rows.map((_, place) => place),
        { stroke: "var(--line)" },
      ),
      ...ridges.flatMap((points) => [
        ...part(
          points.filter(({ x }) => x <= 0),
          conflictColor,
        ),
        ...part(
          points.filter(({ x }) => x >= 0),
          agreementColor,
        ),
      ]),
      Plot.ruleX([0], { stroke: "var(--ink)", strokeOpacity: 0.6 }),
      small
        ? null
        : Plot.dot(rows, {
            x: "mean",
            y: (_, place) => place,
            r: 3,
            fill: "var(--ink)",
            stroke: "var(--paper)",
            title: ({ block, mean, deviation }: ConflictRow) =>
              `block ${block}: mean ${mean.toFixed(3)}, deviation ${deviation.toFixed(3)}`,
          }),
      Plot.text(named, {
        x: () => domain[0],
        y: ({ block }: ConflictRow) => block,
        text: ({ block }: ConflictRow) => `block ${block}`,
        dx: -8,
        dy: -5,
        textAnchor: "end",
      }),
      Plot.text(rows, {
        x: () => domain[1],
        y: ({ block }: ConflictRow) => block,
        text: ({ negative }: ConflictRow) => `${(100 * negative).toFixed(0)}\u202f%`,
        fill: conflictColor,
        fontWeight: 600,
        dx: 8,
        dy: -5,
        textAnchor: "start",
      }),
      small
        ? null
        : Plot.text([0], {
            x: () => domain[1],
            y: rows.length,
            text: () => "below zero",
            dx: 8,
            dy: -6,
            textAnchor: "start",
          }),
    ],
  });
}

/** From the lowest to the highest cosine of all rows and always around zero, with a little room. */
export function cosineDomain(rows: readonly ConflictRow[]): [number, number] {
  const all = rows.flatMap(({ cosines }) => cosines);
  const low = all.reduce((least, value) => Math.min(least, value), 0);
  const high = all.reduce((most, value) => Math.max(most, value), 0);
  const room = Math.max(0.02, 0.12 * (high - low));
  return [Math.max(-1, low - room), Math.min(1, high + room)];
}

/** Kernel density with a Gaussian of Silverman's width, at places that include zero. */
export function density(values: readonly number[], [low, high]: readonly [number, number]): Point[] {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, count - 1));
  // so narrow a peak can still be seen
  const width = Math.max(1.06 * deviation * count ** -0.2, (high - low) / 150);
  const steps = 120;
  const grid = Array.from({ length: steps + 1 }, (_, i) => low + ((high - low) * i) / steps);
  return [...grid, 0]
    .sort((a, b) => a - b)
    .map((x) => ({
      x,
      y: values.reduce((sum, value) => sum + Math.exp(-0.5 * ((x - value) / width) ** 2), 0) / count,
    }));
}
