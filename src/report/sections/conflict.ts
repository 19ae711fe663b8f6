/** Whether masked image modelling and contrast pull a block the same way: their gradients' cosine over many batches. */
import { describeTrend } from "../../evaluators/conflict.ts";
import { type Conflict, type ParameterGroup } from "../../run/conflict.ts";
import { count, percent } from "../format.ts";
import { type Html, html } from "../html.ts";
import { agreementColor, conflictColor, cosineDomain, ridgeChart } from "../ridges.ts";

const titles = { attention: "attention alone", mlp: "MLP alone", norm: "norms alone" } as const;
const parts = ["attention", "mlp", "norm"] as const;

export function conflict({ encoder, mim, cl, batches, batch, rows, trends }: Conflict): Html | undefined {
  if (rows.length === 0) return undefined;
  const of = (wanted: ParameterGroup) => rows.filter(({ group }) => group === wanted);
  const whole = of("block");
  const means = whole.flatMap(({ ofMeans }) => (ofMeans === undefined ? [] : [ofMeans.toFixed(2)]));
  const negative = whole.reduce((sum, row) => sum + row.negative, 0) / whole.length;
  return html`<section id="conflict">
    <h2>Gradient conflict</h2>
    <p class="lead">
      How the gradients of the two losses lie to each other in every block of the encoder after stage ${encoder.stage}:
      1 is the same direction, below zero a step that lowers one loss raises the other. The input is at the bottom.
    </p>
    <div class="beside">
      <figure>
        ${ridgeChart(whole, { label: "cosine of both gradients in each block", domain: cosineDomain(whole) })}
      </figure>
      <div class="key">
        <p>
          <i style="background: ${conflictColor}"></i><strong>Below zero</strong>, in conflict: ${percent(negative)} of
          all cosines. ${describeTrend(trends.block, whole.length)}
        </p>
        <p>
          <i style="background: ${agreementColor}"></i><strong>Above zero</strong>, in agreement. One cosine for each of
          ${batches} ${batches === 1 ? "batch" : "batches"} of ${count(batch, "image")}; the dot is their mean.
        </p>
        ${means.length > 0 && html`<p>Averaged over the batches before they are compared, from the input up: ${means.join(", ")}.</p>`}
        <p>
          Losses: ${mim.objective} (${partsText(mim, encoder.stage, "decoder")}) and ${cl.objective}
          (${partsText(cl, encoder.stage, "heads")}).
        </p>
      </div>
    </div>
    <div class="groups">
      ${parts.map(
        (group) =>
          html`<figure>
            <figcaption class="small-title">${titles[group]}</figcaption>
            ${ridgeChart(of(group), { label: `the same for ${titles[group]}`, domain: cosineDomain(rows), size: "small" })}
          </figure>`,
      )}
    </div>
  </section>`;
}

function partsText({ partsOf, warmUpSteps }: Conflict["mim"], own: string, what: string): string {
  if (partsOf === own) return `${what} trained with the encoder`;
  const from = partsOf === undefined ? "fresh" : `of stage ${partsOf}`;
  return `${what} ${from}, fitted to the encoder for ${count(warmUpSteps, "step")}`;
}
