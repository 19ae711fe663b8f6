/** The study on one page. */
import { basename } from "node:path";
import type { Environment } from "../run/environment.ts";
import { compact, count, gibibytes, metricNumber } from "../report/format.ts";
import { type Html, html } from "../report/html.ts";
import { page } from "../report/page.ts";
import { colors, conflictChart, fewLabelsChart, methodsChart } from "./figures.ts";
import type { StudyOptions } from "./design.ts";
import type { Statement, StudyResults } from "./results.ts";
import { headOf, linesOf } from "./table.ts";

export function renderStudy(study: StudyOptions, results: StudyResults, environment: Environment): string {
  const sections = [
    header(study, results, environment),
    statements(results.statements),
    table(results),
    figure(
      "few-labels",
      "Few labels",
      "Logistic regression on frozen features. Bands are one deviation over seeds. Shares of all labels keep how frequent the classes are, equal numbers per class do not: they have lines of their own.",
      fewLabelsChart(results),
    ),
    figure(
      "methods",
      "Every seed",
      "A dot per seed, a stroke at their mean. k-NN and the linear probe may use all labels of the training images.",
      methodsChart(results),
    ),
    figure(
      "conflict",
      "Gradient conflict",
      "How the gradients of both losses lie to each other in every block after joint training, over batches of all seeds: below zero, a step that lowers one loss raises the other.",
      conflictChart(results),
    ),
    search(study, results),
    failures(results),
    settings(study),
  ];
  return page(
    "study · layergraft",
    sections,
    `Written by layergraft ${environment.layergraft} from the files beside this page.`,
  );
}

function header(study: StudyOptions, { entries }: StudyResults, environment: Environment): Html {
  const { settings, seeds, limit, search } = study;
  const { model, mim, cl, data } = settings;
  const { cores, cpu, memory, commit, modified, command } = environment;
  const where = "path" in data ? basename(data.path) : data.kind;
  const facts = [
    ["Images", limit === undefined ? where : `${where}, ${count(limit, "image")} of it`],
    ["Model", `${model.imageSize} px, patch ${model.patchSize}, width ${model.width}, depth ${model.depth}`],
    ["Budget", `as ${compact(mim.epochs)} epochs of MIM and ${compact(cl.epochs)} of CL`],
    ["Seeds", String(seeds)],
    ["Learning rates", search.length === 1 ? "as given" : `the best of ${search.length} for every method`],
    ["Machine", `${cpu}, ${count(cores, "core")}, ${gibibytes(memory)}`],
    ["Commit", commit === undefined ? "" : commit.slice(0, 10) + (modified ? " with changes" : "")],
  ].filter(([, value]) => value !== "");
  return html`<header>
    <p class="eyebrow">layergraft study</p>
    <h1>${count(entries.filter(({ entry }) => !entry.endsWith("-first")).length, "method")}, one budget</h1>
    <p class="lead">
      Every method trains the same encoder on the same images with the same amount of computing; its features are then
      judged on the same labels. First stages are shared by the methods that build on them, and shown with what they
      have spent.
    </p>
    <dl class="facts">
      ${facts.map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
    </dl>
    ${
      command !== undefined &&
      html`<div class="command">
        <p class="small-title">Run it again</p>
        <pre><code>${command}</code></pre>
      </div>`
    }
  </header>`;
}

function statements(list: readonly Statement[]): Html | undefined {
  if (list.length === 0) return undefined;
  const signed = (of: Statement, value: number) => `${value < 0 ? "−" : "+"}${metricNumber(of, Math.abs(value))}`;
  return html`<section id="claims">
    <h2>What the paper says, and what came out here</h2>
    <p class="lead">
      Differences in points, paired by seed, ± standard error. A claim agrees when the difference is above zero by more
      than its 95 % confidence interval (Student's t), does not when it is below by more, and is within noise otherwise.
    </p>
    <table style="--columns: 2">
      <tbody>
        ${list.map((statement) => {
          const { claim, compared, verdict } = statement;
          const { difference, error } = statement.comparison;
          return html`<tr>
            <th scope="row">${claim}<small>${compared}</small></th>
            <td>
              ${signed(statement, difference)}${
                error !== undefined && html` <small>± ${metricNumber(statement, error)}</small>`
              }
            </td>
            <td>${verdict === "within noise" ? verdict : html`<b>${verdict}</b>`}</td>
          </tr>`;
        })}
      </tbody>
    </table>
  </section>`;
}

function table(results: StudyResults): Html | undefined {
  const { questions, entries, baselines } = results;
  const tuned = questions.find(({ protocol }) => protocol === "fine-tune");
  const others = questions.some(({ metric }) => metric !== "accuracy");
  if (questions.length === 0) return undefined;
  const dots = [...baselines.map(() => "var(--base-1)"), ...entries.map(({ entry }) => colors[entry])];
  return html`<section id="results">
    <h2>What the encoders are worth</h2>
    <p class="lead">
      Accuracy in per cent${others && ", where a column says nothing else,"} on the test split, mean and deviation over
      seeds. Bold is the best of a
      column.${tuned !== undefined && html` The last column is ${tuned.label}: there the whole encoder learns.`}
    </p>
    <div class="wide">
      <table style="--columns: ${questions.length + 1}">
        <thead>
          <tr>
            <th></th>
            <th scope="col">budget</th>
            ${questions.map((question) => html`<th scope="col">${headOf(question)}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${linesOf(results).map(
            ({ title, spent, values }, i) =>
              html`<tr>
                <th scope="row"><i style="background: ${dots[i]}"></i>${title}</th>
                <td>${spent !== undefined && `${Math.round(100 * spent)}\u{a0}%`}</td>
                ${values.map(({ mean, deviation, best }, column) => {
                  if (mean === null) return html`<td>–</td>`;
                  const question = questions[column]!;
                  const shown = metricNumber(question, mean);
                  return html`<td>
                    ${best ? html`<b>${shown}</b>` : shown}${
                      deviation !== null && html` <small>± ${metricNumber(question, deviation)}</small>`
                    }
                  </td>`;
                })}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
}

function figure(id: string, title: string, lead: string, chart: Html | undefined): Html | undefined {
  if (chart === undefined) return undefined;
  return html`<section id="${id}">
    <h2>${title}</h2>
    <p class="lead">${lead}</p>
    <figure class="wide drawing">${chart}</figure>
  </section>`;
}

function search({ search: factors }: StudyOptions, { entries }: StudyResults): Html | undefined {
  if (factors.length === 1) return undefined;
  return html`<section id="search">
    <h2>Learning rates</h2>
    <p class="lead">
      Every row had the same search: its own stage with each factor on the learning rate, at the first seed. k-NN
      accuracy on the validation split chose; the chosen one is bold and was used for all seeds.
    </p>
    <table style="--columns: ${factors.length}">
      <tbody>
        ${entries.map(
          ({ title, learningRate: chosen, search }) =>
            html`<tr>
              <th scope="row">${title}</th>
              ${search.map(({ learningRate, validation }) => {
                const shown = validation === null ? "–" : (100 * validation).toFixed(1);
                return html`<td>
                  ${learningRate === chosen ? html`<b>${shown}</b>` : shown} <small>at ${compact(learningRate)}</small>
                </td>`;
              })}
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}

function failures({ failed }: StudyResults): Html | undefined {
  if (failed.length === 0) return undefined;
  return html`<section id="failed">
    <h2>Failed</h2>
    <ul class="skipped">
      ${failed.map(({ cell, reason }) => html`<li><code>${cell}</code> ${reason}</li>`)}
    </ul>
  </section>`;
}

function settings(study: StudyOptions): Html {
  return html`<section id="settings">
    <h2>Settings</h2>
    <details>
      <summary>All of them</summary>
      <pre><code>${JSON.stringify(study, null, 2)}</code></pre>
    </details>
  </section>`;
}
