/** The evaluation table: one row per question, one column per encoder, the best value bold. */
import type { Evaluation } from "../../run/evaluation.ts";
import { metricNumber, metricValue } from "../format.ts";
import { type Html, html } from "../html.ts";

type Row = Evaluation["rows"][number];

export function results(
  { columns, rows, notes = [] }: Evaluation,
  colors: ReadonlyMap<string, string>,
): Html | undefined {
  if (rows.length === 0) return undefined;
  const names = columns.map(({ name }) => name);
  return html`<section id="results">
    <h2>What the encoders are worth</h2>
    <p class="lead">
      One row per question, one column per encoder. Bold is the best of a row; bars compare within a
      row${rows.some(({ chance }) => chance !== undefined) && ", and the tick marks chance"}.
    </p>
    <table style="--columns: ${columns.length}">
      <thead>
        <tr>
          <th></th>
          ${columns.map(
            ({ name, title }) => html`<th scope="col"><i style="background: ${colors.get(name)}"></i>${title}</th>`,
          )}
        </tr>
      </thead>
      <tbody>
        ${rows.map((row) => tableRow(row, names, colors))}
      </tbody>
    </table>
    ${notes.length > 0 && html`<div class="notes">${notes.map((note) => html`<p>${note}</p>`)}</div>`}
  </section>`;
}

function tableRow(row: Row, names: readonly string[], colors: ReadonlyMap<string, string>): Html {
  const { label, data, metric, values, deviations, details, chance, better } = row;
  const numbers = names.flatMap((name) => values[name] ?? []);
  const best = better === "lower" ? Math.min(...numbers) : Math.max(...numbers);
  const full = Math.max(...numbers, chance ?? 0, 0);
  const width = (value: number) => `${full > 0 ? ((Math.max(0, value) / full) * 100).toFixed(1) : "0"}%`;
  return html`<tr>
    <th scope="row">
      ${data !== undefined && html`${data}: `}${label}<small
        >${metric}${better === "lower" && ", lower is better"}${
          chance !== undefined && `, chance ${metricValue(row, chance)}`
        }</small
      >
    </th>
    ${names.map((name) => {
      const value = values[name];
      if (typeof value !== "number") return html`<td><small>not measured</small></td>`;
      const shown = metricValue(row, value);
      const deviation = deviations?.[name];
      return html`<td title="${details?.[name] ?? ""}">
        ${value === best ? html`<b>${shown}</b>` : shown}${
          typeof deviation === "number" && html` <small>± ${metricNumber(row, deviation)}</small>`
        }
        <span class="bar"
          ><i style="width: ${width(value)}; background: ${colors.get(name)}"></i>${
            chance !== undefined && html`<u style="left: ${width(chance)}"></u>`
          }</span
        >
      </td>`;
    })}
  </tr>`;
}
