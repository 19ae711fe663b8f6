/** The graft itself: how fast each layer was allowed to learn. */
import type { LearningRates } from "../../run/samples.ts";
import { rateChart } from "../charts.ts";
import { compact, count } from "../format.ts";
import { type Html, html } from "../html.ts";
import { stageColor, stageColors } from "../palette.ts";

export function rates(learningRates: LearningRates): Html | undefined {
  if (learningRates.stages.length === 0) return undefined;
  return html`<section id="rates">
    <h2>Learning rate of each layer</h2>
    <p class="lead">
      Grafting keeps what the lower layers learned in an earlier stage by letting them learn slowly in the next one. The
      input is at the bottom.
    </p>
    <div class="beside">
      <figure>${rateChart(learningRates, stageColors)}</figure>
      <div class="key">
        ${learningRates.stages.map(
          ({ stage, layers }, i) =>
            html`<p><i style="background: ${stageColor(i)}"></i><strong>${stage}</strong>: ${summary(layers)}</p>`,
        )}
      </div>
    </div>
  </section>`;
}

function summary(layers: LearningRates["stages"][number]["layers"]): string {
  const moving = layers.filter(({ rate, frozen }) => frozen !== true && rate > 0).map(({ rate }) => rate);
  const still = layers.length - moving.length;
  const frozen = still === 0 ? "" : `; ${count(still, "layer")} frozen`;
  if (moving.length === 0) return "all layers frozen.";
  const ratio = Math.max(...moving) / Math.min(...moving);
  if (ratio < 1.001) return `the same rate in ${still === 0 ? "all layers" : count(moving.length, "layer")}${frozen}.`;
  return `the slowest layer learns ${compact(ratio)} times slower than the fastest${frozen}.`;
}
