/** Rows → SVG text, through Observable Plot. Colours are CSS variables of the page, so one drawing serves light and dark. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { LearningRates } from "../run/samples.ts";
import { compact, scientific } from "./format.ts";
import { Html, html } from "./html.ts";
import { type Point, smooth, thin } from "./series.ts";

export interface LineOptions {
  /** Said by screen readers. */
  readonly label: string;
  /** A CSS colour. */
  readonly color: string;
  readonly xLabel?: string;
  /** Whether a moving average is drawn over the faint raw line. */
  readonly smoothed?: boolean;
  /** `large` is half a page wide, `small` a quarter (default: large). */
  readonly size?: "large" | "small";
  /** Whether the axis begins at zero. */
  readonly zero?: boolean;
  /** Height of a dashed line to compare with. */
  readonly reference?: number;
  /** How numbers at the axis and at the line's end are written (default: by Plot, and three digits). */
  readonly format?: (value: number) => string;
}

/** One metric over the training, with its last value written at the line's end. */
export function lineChart(points: readonly Point[], options: LineOptions): Html {
  const { label, color, xLabel, size = "large", format, zero = false, reference } = options;
  const small = size === "small";
  const smoothed = options.smoothed === true && points.length >= 20;
  const line = smoothed ? smooth(points, points.length / 40) : points;
  const shown = thin(line, 300);
  const end = line.slice(-1);
  const endText = ({ y }: Point) => (format ?? compact)(y);
  return draw(label, {
    width: small ? 220 : 420,
    height: small ? 104 : 220,
    marginTop: 10,
    marginLeft: format === undefined ? 40 : 58,
    marginRight: Math.max(44, ...end.map((point) => 10 + 6.6 * endText(point).length)),
    marginBottom: xLabel === undefined ? 20 : 34,
    x: { label: xLabel ?? null, labelAnchor: "center", labelArrow: "none", ticks: small ? 3 : 6, tickSize: 0 },
    y: {
      label: null,
      ticks: small ? 3 : 5,
      tickSize: 0,
      nice: true,
      domain: domainOf(reference === undefined ? points : [...points, { x: 0, y: reference }], zero),
      ...(format && { tickFormat: format }),
    },
    marks: [
      Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: small ? 3 : 5 }),
      reference === undefined
        ? null
        : Plot.ruleY([reference], { stroke: "var(--quiet)", strokeDasharray: "3 3", strokeOpacity: 0.8 }),
      smoothed
        ? Plot.line(thin(points, 300), { x: "x", y: "y", stroke: color, strokeWidth: 1, strokeOpacity: 0.3 })
        : null,
      Plot.line(shown, { x: "x", y: "y", stroke: color, strokeWidth: small ? 1.4 : 1.8 }),
      Plot.dot(end, { x: "x", y: "y", fill: color, r: small ? 2 : 2.5 }),
      Plot.text(end, {
        x: "x",
        y: "y",
        text: endText,
        fill: color,
        fontWeight: 600,
        dx: 6,
        textAnchor: "start",
      }),
    ],
  });
}

/** One small line per block of the encoder around zero, the stronger the nearer the output. */
export function blockChart(blocks: readonly (readonly Point[])[], { label, color }: LineOptions): Html {
  const strength = (block: number) => 0.25 + (0.75 * (block + 1)) / blocks.length;
  return draw(label, {
    width: 220,
    height: 104,
    marginTop: 10,
    marginLeft: 40,
    marginRight: 44,
    marginBottom: 20,
    x: { label: null, ticks: 3, tickSize: 0 },
    y: { label: null, ticks: 3, tickSize: 0, nice: true, domain: domainOf(blocks.flat(), true) },
    marks: [
      Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: 3 }),
      Plot.ruleY([0], { stroke: "var(--ink)", strokeOpacity: 0.6 }),
      ...blocks.flatMap((points, block) => {
        const style = { x: "x", y: "y", strokeOpacity: strength(block), fillOpacity: strength(block) };
        return [
          Plot.line(points, { ...style, stroke: color, strokeWidth: 1.4, fillOpacity: 0 }),
          Plot.dot(points.slice(-1), { ...style, fill: color, r: 2 }),
        ];
      }),
    ],
  });
}

/** Learning rate of each layer, input side at the bottom as in a plant: one line of dots per stage. */
export function rateChart(rates: LearningRates, colors: readonly string[]): Html {
  const dots = rates.stages.flatMap(({ stage, layers }, i) =>
    layers.map(({ layer, rate, frozen = false }) => ({
      stage,
      layer,
      rate,
      still: frozen || !(rate > 0),
      color: colors[i % colors.length]!,
    })),
  );
  const layers = layerOrder(rates);
  const moving = dots.filter(({ still }) => !still);
  // Frozen layers have no place on a logarithmic axis: they stand left of its beginning.
  const low = Math.min(...moving.map(({ rate }) => rate));
  const high = Math.max(...moving.map(({ rate }) => rate));
  const [from, to] = moving.length === 0 ? [1e-6, 1e-3] : [low / 3, high * 1.6];
  const still = dots.filter((dot) => dot.still).map((dot) => ({ ...dot, rate: from }));
  return draw("learning rate of each layer in each stage", {
    width: 460,
    height: 48 + 22 * layers.length,
    marginLeft: 96,
    marginRight: 20,
    marginTop: 10,
    marginBottom: 38,
    x: {
      type: "log",
      domain: [from, to],
      label: "learning rate (logarithmic)",
      labelAnchor: "center",
      labelArrow: "none",
      ticks: 4,
      tickFormat: (value: number) => (/^[125]e/.test(value.toExponential()) ? scientific(value) : ""),
      tickSize: 0,
      insetLeft: 12,
    },
    y: { type: "point", domain: layers.toReversed(), label: null, tickSize: 0, padding: 0.6 },
    marks: [
      Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1 }),
      ...rates.stages.map(({ stage }, i) =>
        Plot.line(
          moving.filter((dot) => dot.stage === stage),
          {
            x: "rate",
            y: "layer",
            stroke: colors[i % colors.length]!,
            strokeWidth: 1.2,
            strokeOpacity: 0.45,
            curve: "linear",
          },
        ),
      ),
      Plot.dot(moving, {
        x: "rate",
        y: "layer",
        fill: "color",
        r: 4.5,
        title: ({ stage, layer, rate }: (typeof dots)[number]) => `${stage}, ${layer}: ${scientific(rate)}`,
      }),
      Plot.dot(still, { x: "rate", y: "layer", stroke: "color", fill: "var(--paper)", r: 4, strokeWidth: 1.5 }),
      Plot.text(still, { x: "rate", y: "layer", text: () => "frozen", fill: "color", dx: 9, textAnchor: "start" }),
    ],
  });
}

/** Layers of all stages, input side first. A layer of only one stage comes after the layer it follows there. */
export function layerOrder(rates: LearningRates): string[] {
  const order: string[] = [];
  for (const { layers } of rates.stages) {
    let at = 0;
    for (const { layer } of layers) {
      const known = order.indexOf(layer);
      if (known === -1) order.splice(at++, 0, layer);
      else at = known + 1;
    }
  }
  return order;
}

/** From the lowest to the highest value. A constant, give or take rounding, gets room above and below. */
export function domainOf(points: readonly Point[], zero: boolean): [number, number] {
  const low = points.reduce((least, { y }) => Math.min(least, y), zero ? 0 : Number.POSITIVE_INFINITY);
  const high = points.reduce((most, { y }) => Math.max(most, y), zero ? 0 : Number.NEGATIVE_INFINITY);
  const size = Math.max(Math.abs(low), Math.abs(high));
  if (high - low > 1e-6 * size) return [low, high];
  return size === 0 ? [0, 1] : [low - size / 10, high + size / 10];
}

/** A drawing by Plot as an SVG element; `label` is said by screen readers. */
export function draw(label: string, options: Plot.PlotOptions): Html {
  const { document } = parseHTML("<html></html>");
  const svg = Plot.plot({
    document,
    className: "plot",
    style: { fontSize: "11px", fontFamily: "inherit", color: "var(--quiet)" },
    ...options,
  });
  // Plot's own style element would be repeated by every chart; the page holds the two rules that matter.
  const drawing = String(svg.outerHTML)
    .replace(/<style>.*?<\/style>/s, "")
    .slice("<svg".length);
  return html`<svg role="img" aria-label="${label}" ${new Html(drawing)}`;
}
