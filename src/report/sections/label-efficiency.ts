/** Scores against the number of labels, one line per encoder: what pre-training saves in labels. */
import type { Evaluation } from "../../run/evaluation.ts";
import { type Curve, curveChart } from "../curves.ts";
import { axisValue, compact, count, humanize, metricValue } from "../format.ts";
import { type Html, html } from "../html.ts";

type Row = Evaluation["rows"][number] & { readonly labels: number };

export function labelEfficiency({ columns, rows }: Evaluation, colors: ReadonlyMap<string, string>): Html | undefined {
  const charts = familiesOf(rows).flatMap((family) => {
    const curves = columns.flatMap(({ name, title }) => curveOf(family, name, title, colors.get(name)!));
    return curves.length === 0 ? [] : [{ family, curves }];
  });
  if (charts.length === 0) return undefined;
  return html`<section id="label-efficiency">
    <h2>Label efficiency</h2>
    <p class="lead">
      What the frozen features are worth when only a few images of each class are labelled. Bands are one deviation over
      draws of the labelled images.
    </p>
    ${charts.map(
      ({ family, curves }) =>
        html`<div class="beside">
          <figure>
            <figcaption>${titleOf(family)}</figcaption>
            ${familyChart(family, curves)}
          </figure>
          <div class="key">${savings(curves, family[0]!)}</div>
        </div>`,
    )}
  </section>`;
}

/** Rows that differ in nothing but the number of labels, from few to many; a single one makes no line. */
function familiesOf(rows: Evaluation["rows"]): Row[][] {
  const families = new Map<string, Row[]>();
  for (const { labels, ...row } of rows) {
    if (labels === undefined) continue;
    const { protocol, data, metric, chance, label } = row; // chance tells the number of classes
    const key = JSON.stringify([protocol, data, metric, chance, isShareOfLabels(label)]);
    families.set(key, [...(families.get(key) ?? []), { ...row, labels }]);
  }
  return [...families.values()]
    .map((family) => family.toSorted((a, b) => a.labels - b.labels))
    .filter((family) => new Set(family.map(({ labels }) => labels)).size > 1);
}

/**
 * Whether a row asks for a share of all labels, which keeps the classes' frequencies, rather than for as many labels of
 * each class. Where classes differ in size the two are different questions: no line leads from one to the other.
 */
export function isShareOfLabels(label: string): boolean {
  return /\d\s*%/.test(label);
}

function curveOf(family: readonly Row[], name: string, title: string, color: string): Curve[] {
  const points = family.flatMap(({ labels, values, deviations }) => {
    const y = values[name];
    return typeof y === "number" ? [{ x: labels, y, spread: deviations?.[name] ?? 0 }] : [];
  });
  return points.length === 0 ? [] : [{ title, color, points }];
}

function familyChart(family: readonly Row[], curves: readonly Curve[]): Html {
  const [first] = family as [Row];
  const { metric, chance, label } = first;
  return curveChart(curves, {
    label: `${metric} against the number of labels per class, by encoder`,
    xLabel: `${isShareOfLabels(label) ? "mean labels" : "labels"} per class (logarithmic)`,
    height: 300,
    log: true,
    format: (value) => axisValue(first, value),
    ...(chance === undefined ? {} : { level: { title: "chance", y: chance } }),
  });
}

/** What the best encoder needs to be as good as each of the others is with the most labels. */
function savings(curves: readonly Curve[], row: Row): Html[] {
  const sign = row.better === "lower" ? -1 : 1;
  const [best, ...others] = curves.toSorted((a, b) => sign * (b.points.at(-1)!.y - a.points.at(-1)!.y)) as [
    Curve,
    ...Curve[],
  ];
  const top = best.points.at(-1)!;
  return [
    html`<p>
      <i style="background: ${best.color}"></i><strong>${best.title}</strong> reaches ${metricValue(row, top.y)} with
      ${count(top.x, "label")} per class.
    </p>`,
    ...others.map(({ title, color, points }) => {
      const { x, y } = points.at(-1)!;
      return html`<p>
        <i style="background: ${color}"></i><strong>${title}</strong> reaches ${metricValue(row, y)} with ${compact(x)};
        ${best.title} needs ${labelsFor(best, y, row.better)} for that.
      </p>`;
    }),
  ];
}

/** Where a line first comes to a height, between its points as it is drawn: straight over the logarithm of x. */
export function labelsFor({ points }: Curve, height: number, better: Row["better"] = "higher"): string {
  const at = points.findIndex(({ y }) => (better === "lower" ? y <= height : y >= height));
  const [before, after] = [points[at - 1], points[at]!];
  if (before === undefined) return `${compact(after.x)} or fewer`;
  const share = (height - before.y) / (after.y - before.y);
  return `about ${compact(Number((before.x * (after.x / before.x) ** share).toPrecision(2)))}`;
}

/** `shares of all labels, 10 classes, accuracy`: what the labels of all rows end with tells the classes. */
function titleOf(family: readonly Row[]): string {
  const { protocol, data, metric, label } = family[0]!;
  const endings = new Set(family.map(({ label }) => label.split(", ").slice(1).join(", ")));
  const [ending = ""] = endings.size === 1 ? endings : [];
  const kind = isShareOfLabels(label) ? "shares of all labels" : "";
  return [data, protocol === "few-shot" ? "" : humanize(protocol), kind, ending, metric]
    .filter((part) => part !== undefined && part !== "")
    .join(", ");
}
