/** Several lines in one chart: what encoders reach, by the number of labels or by depth. */
import * as Plot from "@observablehq/plot";
import { domainOf, draw } from "./charts.ts";
import { compact } from "./format.ts";
import { type Html, html } from "./html.ts";
import type { Point } from "./series.ts";

export interface Curve {
  /** Curves with the same title are parts of one, between which no line leads. */
  readonly title: string;
  /** A CSS colour. */
  readonly color: string;
  /** Dashed and thin: something to compare with. */
  readonly dashed?: boolean;
  /** From left to right; `spread` is half of the height of the band around the line. */
  readonly points: readonly (Point & { readonly spread?: number })[];
  /** Further dots of the same colour. */
  readonly dots?: readonly Point[];
}

export interface CurveOptions {
  /** Said by screen readers. */
  readonly label: string;
  readonly xLabel?: string;
  readonly width?: number;
  readonly height?: number;
  /** Whether x is logarithmic. */
  readonly log?: boolean;
  /** Whether y begins at zero. */
  readonly zero?: boolean;
  /** How values of y are written (default: three digits). */
  readonly format?: (y: number) => string;
  /** A dashed line across at this y: what guessing reaches. */
  readonly level?: { readonly title: string; readonly y: number };
  /** Whether a ring marks each line's highest point. */
  readonly best?: boolean;
  /** Where titles stand: at the ends of the lines, below the chart when there is no room (default), or elsewhere. */
  readonly titles?: "ends" | "elsewhere";
}

/** Pixels between the baselines of two titles at line ends. */
const lineHeight = 15;
/** Letters of a title that still stands at a line's end. */
const longest = 22;

export function curveChart(curves: readonly Curve[], options: CurveOptions): Html {
  const { label, xLabel, width = 440, height = 260, log = false, format = compact, level, titles = "ends" } = options;
  const [marginTop, marginBottom, marginLeft] = [12, xLabel === undefined ? 22 : 38, 46];
  const parts = new Map(curves.map((curve) => [curve.title, curve]));
  const named = [...parts.keys(), ...(level === undefined ? [] : [level.title])];
  const inner = height - marginTop - marginBottom;
  const fits = named.every(({ length }) => length <= longest) && named.length * lineHeight <= inner;
  const atEnds = titles === "ends" && fits;
  const letters = Math.max(...named.map(({ length }) => length));
  const marginRight = atEnds ? 16 + 7.6 * letters : 14;

  const points = curves.flatMap((curve, line) =>
    curve.points.map(({ x, y, spread = 0 }) => ({ ...curve, line, x, y, low: y - spread, high: y + spread })),
  );
  const dots = curves.flatMap(({ color, title, dots = [] }) => dots.map((dot) => ({ ...dot, color, title })));
  const edges = points.flatMap(({ x, low, high }) => [low, high].map((y) => ({ x, y })));
  const reached = [...edges, ...dots, ...(level === undefined ? [] : [{ x: 0, y: level.y }])];
  const scale = Plot.scale({ y: { type: "linear", domain: domainOf(reached, options.zero ?? false), nice: true } });
  const [low, high] = scale.domain as [number, number];
  const xs = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
  const [from, to] = [xs[0]!, xs.at(-1)!];
  const position = (x: number) => (log ? Math.log(x / from) / Math.log(to / from) : (x - from) / (to - from));
  const span = width - marginLeft - marginRight;
  const ends: readonly { readonly title: string; readonly color: string; readonly y: number }[] = [
    ...[...parts.values()].map(({ title, color, points }) => ({ title, color, y: points.at(-1)!.y })),
    ...(level === undefined ? [] : [{ ...level, color: "var(--quiet)" }]),
  ];
  const channels = { x: "x", y: "y", z: "line", stroke: "color" };
  const drawing = draw(label, {
    width,
    height,
    marginTop,
    marginBottom,
    marginLeft,
    marginRight,
    x: {
      type: log ? "log" : "linear",
      domain: from === to ? [from / 2, from * 2] : [from, to],
      label: xLabel ?? null,
      labelAnchor: "center",
      labelArrow: "none",
      ticks: [],
      insetLeft: 4,
    },
    y: { domain: [low, high], label: null, ticks: height < 150 ? 3 : 5, tickSize: 0, tickFormat: format },
    marks: [
      Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: height < 150 ? 3 : 5 }),
      level &&
        Plot.ruleY([level], {
          y: "y",
          stroke: "var(--quiet)",
          strokeDasharray: "2 4",
          title: () => titled(level, format),
        }),
      Plot.areaY(points, { x: "x", y1: "low", y2: "high", z: "line", fill: "color", fillOpacity: 0.13 }),
      Plot.line(
        points.filter(({ dashed }) => dashed !== true),
        { ...channels, strokeWidth: 1.8 },
      ),
      Plot.line(
        points.filter(({ dashed }) => dashed === true),
        { ...channels, strokeWidth: 1.2, strokeDasharray: "4 3" },
      ),
      Plot.dot(dots, { x: "x", y: "y", fill: "color", fillOpacity: 0.45, r: 2 }),
      Plot.dot(points, {
        x: "x",
        y: "y",
        fill: "color",
        r: height < 150 ? 1.6 : 2.6,
        title: ({ title, x, y, high }: (typeof points)[number]) =>
          `${titled({ title, y }, format)}${high > y ? ` ± ${format(high - y)}` : ""}${xLabel === undefined ? "" : ` at ${compact(x)}`}`,
      }),
      options.best === true
        ? Plot.dot(curves.map(bestOf), { x: "x", y: "y", stroke: "color", fill: "var(--paper)", r: 5, strokeWidth: 2 })
        : null,
      // Not the axis' own ticks: of a logarithmic one D3 leaves out the labels that begin with a high digit.
      Plot.text(
        spaced(xs, (x) => position(x) * span, 26),
        { x: (x: number) => x, text: (x: number) => compact(x), frameAnchor: "bottom", lineAnchor: "top", dy: 7 },
      ),
      atEnds
        ? Plot.text(spreadOut(ends, ((high - low) * lineHeight) / inner, high), {
            x: () => to,
            y: "place",
            text: "title",
            fill: "color",
            fontWeight: 600,
            textAnchor: "start",
            dx: 10,
          })
        : null,
    ],
  });
  return titles === "ends" && !fits ? html`${drawing}${legend([...parts.values()])}` : drawing;
}

/** Names and colours of lines, for charts without room for them or for several charts at once. */
export function legend(entries: readonly { readonly title: string; readonly color: string }[]): Html {
  return html`<ul class="legend">
    ${entries.map(({ title, color }) => html`<li><i style="background: ${color}"></i>${title}</li>`)}
  </ul>`;
}

/** The highest point of a curve, the first of several. */
export function bestOf({ color, points }: Curve): Point & { readonly color: string } {
  const { x, y } = points.reduce((best, point) => (point.y > best.y ? point : best));
  return { x, y, color };
}

/** Values of which no two stand closer than `gap`, from the first on. */
export function spaced(values: readonly number[], place: (value: number) => number, gap: number): number[] {
  const kept: number[] = [];
  for (const value of values) if (kept.length === 0 || place(value) - place(kept.at(-1)!) >= gap) kept.push(value);
  return kept;
}

/**
 * Places for titles at the ends of lines, `gap` apart at least and none above `top`, in the order of the ends and as near
 * to them as can be: titles that would touch form a group around the mean of their ends.
 */
export function spreadOut<T extends { readonly y: number }>(
  ends: readonly T[],
  gap: number,
  top: number,
): (T & { readonly place: number })[] {
  const sorted = ends.toSorted((a, b) => a.y - b.y);
  // Isotonic regression by pooling: with i · gap taken off, places must only not fall.
  const groups: { readonly sum: number; readonly count: number }[] = [];
  for (const [i, { y }] of sorted.entries()) {
    let group = { sum: y - i * gap, count: 1 };
    while (groups.length > 0 && groups.at(-1)!.sum / groups.at(-1)!.count > group.sum / group.count) {
      const { sum, count } = groups.pop()!;
      group = { sum: sum + group.sum, count: count + group.count };
    }
    groups.push(group);
  }
  const highest = top - (sorted.length - 1) * gap;
  const places = groups.flatMap(({ sum, count }) =>
    Array.from({ length: count }, () => Math.min(sum / count, highest)),
  );
  return sorted.map((end, i) => ({ ...end, place: places[i]! + i * gap }));
}

function titled({ title, y }: { readonly title: string; readonly y: number }, format: (y: number) => string): string {
  return `${title}: ${format(y)}`;
}
