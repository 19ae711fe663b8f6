/** A matrix as a field of coloured cells. */
import * as Plot from "@observablehq/plot";
import { draw } from "./charts.ts";
import type { Html } from "./html.ts";

/** A cell; colours are pale enough for text in the page's ink, at any strength. */
export interface Cell {
  readonly row: number;
  readonly column: number;
  /** A CSS colour, and how much of it: 0 … 1. */
  readonly color: string;
  readonly strength: number;
  /** Written into the cell. */
  readonly text?: string;
  /** Tooltip. */
  readonly title: string;
}

export interface HeatOptions {
  /** Said by screen readers. */
  readonly label: string;
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  /** What rows and columns are. */
  readonly rowLabel: string;
  readonly columnLabel: string;
  /** Side of a cell, in units of the drawing. */
  readonly side: number;
  /** `up`: names of columns are turned; row 0 is at the top (default). `flat`: they are short; row 0 is at the bottom. */
  readonly names?: "up" | "flat";
}

export function heatChart(cells: readonly Cell[], options: HeatOptions): Html {
  const { label, rows, columns, rowLabel, columnLabel, side, names = "up" } = options;
  const up = names === "up";
  const size = up ? 13 : 11;
  const room = (texts: readonly string[]) => 14 + 0.58 * size * Math.max(...texts.map(({ length }) => length));
  const marginLeft = room(rows) + 20;
  const [marginTop, marginBottom] = up ? [room(columns) + 20, 6] : [6, 40];
  const [numbersDown, numbersAcross] = [rows, columns].map((texts) => texts.map((_, i) => i)) as [number[], number[]];
  return draw(label, {
    width: marginLeft + side * columns.length + 6,
    height: marginTop + side * rows.length + marginBottom,
    marginLeft,
    marginRight: 6,
    marginTop,
    marginBottom,
    padding: 0,
    style: { fontSize: `${size}px`, fontFamily: "inherit", color: "var(--quiet)" },
    x: {
      type: "band",
      domain: numbersAcross,
      axis: up ? "top" : "bottom",
      label: columnLabel,
      labelAnchor: "center",
      labelArrow: "none",
      labelOffset: up ? marginTop - 2 : marginBottom - 6,
      tickFormat: (i: number) => columns[i]!,
      tickRotate: up ? -90 : 0,
      tickSize: 0,
      tickPadding: 6,
    },
    y: {
      type: "band",
      domain: up ? numbersDown : numbersDown.toReversed(),
      label: rowLabel,
      labelAnchor: "center",
      labelArrow: "none",
      labelOffset: marginLeft - 2,
      tickFormat: (i: number) => rows[i]!,
      tickSize: 0,
      tickPadding: 6,
    },
    marks: [
      Plot.cell(cells, {
        x: "column",
        y: "row",
        fill: "color",
        fillOpacity: "strength",
        inset: 0.5,
        rx: 1.5,
        title: "title",
      }),
      Plot.text(
        cells.filter(({ text }) => text !== undefined),
        { x: "column", y: "row", text: "text", fill: "var(--ink)", fontSize: Math.min(13, side / 2.4) },
      ),
    ],
  });
}
