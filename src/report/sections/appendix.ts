/** The end of the page: what was skipped, the recipe, the environment. */
import type { Notes } from "../../run/notes.ts";
import type { Run } from "../../run/folder.ts";
import { count, time } from "../format.ts";
import { type Html, html } from "../html.ts";

/** Skipped images listed by name; thousands would bury the rest of the page. */
const listed = 100;

export function appendix({ recipe, environment }: Run, { skipped }: Notes): Html {
  const facts = [
    ["layergraft", environment.layergraft],
    [
      "Commit",
      environment.commit === undefined ? "" : environment.commit + (environment.modified ? ", with changes" : ""),
    ],
    ["ONNX Runtime", environment.onnxruntime],
    ["Node", environment.node],
    ["Platform", environment.platform],
    ["Started", time(environment.started)],
  ].filter(([, value]) => value !== "");
  return html`<section id="environment">
    <h2>Recipe and environment</h2>
    <dl class="facts" style="margin-top: 20px">
      ${facts.map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
    </dl>
    ${
      skipped.length > 0 &&
      html`<details>
        <summary>${count(skipped.length, "image")} skipped</summary>
        <ul class="skipped">
          ${skipped.slice(0, listed).map(({ path, reason }) => html`<li><code>${path}</code> ${reason}</li>`)}
          ${skipped.length > listed && html`<li>and ${count(skipped.length - listed, "other")}, see notes.json</li>`}
        </ul>
      </details>`
    }
    <details>
      <summary>The resolved recipe</summary>
      <pre><code>${JSON.stringify(recipe, null, 2)}</code></pre>
    </details>
  </section>`;
}
