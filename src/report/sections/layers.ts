/** Where in depth an encoder's knowledge sits: what the output of every block is worth. */
import type { Layers } from "../../run/layers.ts";
import { bestOf, type Curve, curveChart } from "../curves.ts";
import { axisValue, imagesName, percent } from "../format.ts";
import { type Html, html } from "../html.ts";

export function layers(
  { data, label, chance, encoders }: Layers,
  colors: ReadonlyMap<string, string>,
): Html | undefined {
  const curves = encoders
    .filter(({ scores }) => scores.length > 0)
    .map(({ name, title, scores }): Curve => ({
      title,
      color: colors.get(name)!,
      points: scores.map(({ depth, value }) => ({ x: depth, y: value })).sort((a, b) => a.x - b.x),
    }));
  if (curves.length === 0) return undefined;
  return html`<section id="layers">
    <h2>Where the knowledge sits</h2>
    <p class="lead">
      Accuracy from the output of each block: ${label}, on ${imagesName(data)}. At depth 0 the class token has not seen
      the image; a ring marks the best depth of each encoder.
    </p>
    <div class="beside">
      <figure>
        ${curveChart(curves, {
          label: "accuracy from the output of each block, by encoder",
          xLabel: "depth in blocks",
          height: 300,
          format: (value) => axisValue({ share: true }, value),
          best: true,
          titles: "elsewhere",
          ...(chance === undefined ? {} : { level: { title: "chance", y: chance } }),
        })}
      </figure>
      <div class="key">
        ${curves.map(
          (curve) =>
            html`<p><i style="background: ${curve.color}"></i><strong>${curve.title}</strong>: ${summary(curve)}</p>`,
        )}
        ${chance !== undefined && html`<p><i class="dash"></i>chance: ${percent(chance)}</p>`}
      </div>
    </div>
  </section>`;
}

function summary(curve: Curve): string {
  const best = bestOf(curve);
  const last = curve.points.at(-1)!;
  const where = best.x === 0 ? "at the embedding" : `after block ${best.x}`;
  if (best.x === last.x) return `best at its end, ${percent(best.y)}.`;
  return `best ${where}, ${percent(best.y)}; ${percent(last.y)} at its end.`;
}
