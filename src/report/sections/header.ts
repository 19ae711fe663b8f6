/** The top of the page: what was run, what came out, and how to run it again. */
import type { Environment } from "../../run/environment.ts";
import type { Evaluation } from "../../run/evaluation.ts";
import type { Notes } from "../../run/notes.ts";
import { count, duration, gibibytes, metricValue } from "../format.ts";
import { type Html, html } from "../html.ts";
import { isBaseline } from "../palette.ts";
import type { Stage } from "../series.ts";

interface Parts {
  readonly name: string;
  /** One sentence; a general one stands in when the recipe has none. */
  readonly description: string | undefined;
  readonly environment: Environment;
  readonly notes: Notes;
  readonly stages: readonly Stage[];
  readonly evaluation: Evaluation | undefined;
  /** By encoder. */
  readonly colors: ReadonlyMap<string, string>;
}

export function header({ name, description, environment, notes, stages, evaluation, colors }: Parts): Html {
  return html`<header>
    <p class="eyebrow">layergraft run</p>
    <h1>${name}</h1>
    <p class="lead">${description ?? describe(stages)}</p>
    ${evaluation && headline(evaluation, colors)} ${warnings(notes)} ${facts(environment, notes, stages)}
    ${
      environment.command !== undefined &&
      html`<div class="command">
        <p class="small-title">Run it again</p>
        <pre><code>${environment.command}</code></pre>
      </div>`
    }
  </header>`;
}

function describe(stages: readonly Stage[]): string {
  const names = stages.map(({ name }) => name);
  const order = names.length === 0 ? "" : `, in ${count(names.length, "stage")}: ${names.join(", then ")}`;
  return `A Vision Transformer pre-trained on images without labels${order}.`;
}

/** The first k-NN row, or the first row, from the random encoder to the last stage; other baselines go into the caption. */
function headline({ rows, columns }: Evaluation, colors: ReadonlyMap<string, string>): Html | undefined {
  const row = rows.find(({ protocol }) => protocol === "knn") ?? rows[0];
  if (row === undefined) return undefined;
  const measured = columns.flatMap((column) => {
    const value = row.values[column.name];
    return typeof value === "number" ? [{ ...column, shown: metricValue(row, value) }] : [];
  });
  const steps = measured.filter(({ name }) => name === "random" || !isBaseline(name));
  const others = measured.filter((column) => !steps.includes(column)).map(({ title, shown }) => `${title}: ${shown}`);
  return html`<div class="headline">
      ${steps.map(
        ({ name, title, shown }) =>
          html`<div>
            <span class="number" style="color: ${colors.get(name)}">${shown}</span><span class="name">${title}</span>
          </div>`,
      )}
    </div>
    <p>${[`${row.label}, ${row.metric}`, ...others].join(" · ")}</p>`;
}

function warnings({ warnings }: Notes): Html | undefined {
  if (warnings.length === 0) return undefined;
  const text =
    warnings.length === 1
      ? warnings[0]!
      : html`<ul>
          ${warnings.map((warning) => html`<li>${warning}</li>`)}
        </ul>`;
  return html`<div class="warnings" role="note">${text}</div>`;
}

function facts(environment: Environment, notes: Notes, stages: readonly Stage[]): Html {
  const seconds = stages.flatMap((stage) => stage.seconds ?? []);
  const { cores, cpu, memory, seed, commit, modified } = environment;
  const derived = [
    { name: "Training time", value: seconds.length === 0 ? "" : duration(seconds.reduce((a, b) => a + b)) },
    { name: "Machine", value: `${cpu}, ${count(cores, "core")}, ${gibibytes(memory)}` },
    { name: "Seed", value: String(seed) },
    { name: "Commit", value: commit === undefined ? "" : commit.slice(0, 10) + (modified ? " with changes" : "") },
  ];
  const own = new Set(notes.facts.map(({ name }) => name));
  return html`<dl class="facts">
    ${[...notes.facts, ...derived.filter(({ name, value }) => value !== "" && !own.has(name))].map(
      ({ name, value }) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}
