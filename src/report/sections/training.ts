/** How each stage went: its loss large, everything else it logged as small multiples. */
import type { MetricRow } from "../../run/metrics.ts";
import { blockChart, lineChart } from "../charts.ts";
import { compact, count, duration, humanize, percent, scientific } from "../format.ts";
import { type Html, html } from "../html.ts";
import { stageColor } from "../palette.ts";
import { seriesOf, type Stage } from "../series.ts";

/** Drawn first and in this order; metrics of the objective follow. `secondsPerStep` says the same as `imagesPerSecond`. */
const usual = ["learningRate", "gradientNorm", "imagesPerSecond"];
const elsewhere = new Set(["stage", "step", "epoch", "loss", "secondsPerStep", ...usual]);

export function training(stages: readonly Stage[]): Html | undefined {
  if (stages.length === 0) return undefined;
  return html`<section id="training">
    <h2>Training</h2>
    <div class="stages${stages.length === 1 && " single"}">${stages.map((stage, i) => article(stage, i))}</div>
  </section>`;
}

function article({ name, rows, seconds }: Stage, index: number): Html {
  const color = stageColor(index);
  const { step, epoch } = rows.at(-1)!;
  const size = [
    count(step, "step"),
    epoch !== undefined && `${compact(epoch)} epochs`,
    seconds !== undefined && duration(seconds),
  ].filter((part) => part !== false);
  const loss = seriesOf(rows, "loss");
  const xLabel = epoch === undefined ? "step" : "epoch";
  const logged = [...new Set(rows.flatMap(namesOf))].filter((metric) => !elsewhere.has(metric));
  const own = logged.filter((metric) => !/^(conflict|knn|features)\./.test(metric));
  const cosines = logged.filter((metric) => metric.startsWith("conflict.block."));
  return html`<article>
    <div class="title">
      <h3><i style="background: ${color}"></i>Stage ${index + 1}: ${name}</h3>
      <p>${size.join(" · ")}</p>
    </div>
    ${
      loss.length > 0 &&
      html`<figure>
        <figcaption class="small-title">loss</figcaption>
        ${lineChart(loss, { label: `loss of stage ${name}`, color, xLabel, smoothed: true })}
      </figure>`
    }
    <div class="multiples">
      ${watched(rows, name, color)} ${[...usual, ...own].map((metric) => multiple(rows, metric, name, color))}
      ${
        cosines.length > 0 &&
        html`<figure>
          <figcaption class="small-title">cosine of both gradients by block, the output strongest</figcaption>
          ${blockChart(
            cosines.map((metric) => seriesOf(rows, metric)),
            { label: `cosine of both gradients in each block in stage ${name}`, color },
          )}
        </figure>`
      }
    </div>
  </article>`;
}

function multiple(rows: readonly MetricRow[], metric: string, stage: string, color: string): Html | undefined {
  const points = seriesOf(rows, metric);
  if (points.length === 0) return undefined;
  const rate = metric === "learningRate";
  const title = metric === "imagesPerSecond" ? "images per second" : humanize(metric);
  return html`<figure>
    <figcaption class="small-title">${title}</figcaption>
    ${lineChart(points, {
      label: `${humanize(metric)} of stage ${stage}`,
      color,
      size: "small",
      smoothed: !rate,
      zero: rate || metric === "imagesPerSecond",
      ...(rate ? { format: (value: number) => (value === 0 ? "0" : scientific(value)) } : {}),
    })}
  </figure>`;
}

/** What was measured of the features while they were trained. */
function watched(rows: readonly MetricRow[], stage: string, color: string): Html[] {
  const figures: Html[] = [];
  const [knn, deviation] = [seriesOf(rows, "knn.accuracy"), seriesOf(rows, "features.deviation")];
  const size = "small" as const;
  if (knn.length > 0) {
    const reference = seriesOf(rows, "knn.chance")[0]!.y;
    const options = { label: `k-NN accuracy in stage ${stage}`, color, size, zero: true, reference, format: percent };
    figures.push(
      html`<figure>
        <figcaption class="small-title">k-NN accuracy of the features; dashed: chance</figcaption>
        ${lineChart(knn, options)}
      </figure>`,
    );
  }
  if (deviation.length > 0)
    figures.push(
      html`<figure>
        <figcaption class="small-title">deviation of the features; 0: collapsed, 1: spread evenly</figcaption>
        ${lineChart(deviation, { label: `deviation of the features in stage ${stage}`, color, size, zero: true })}
      </figure>`,
    );
  return figures;
}

function namesOf(row: MetricRow): string[] {
  return Object.keys(row).filter((name) => typeof row[name] === "number");
}
