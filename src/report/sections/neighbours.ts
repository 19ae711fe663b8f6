/** The images each encoder holds to be most alike. */
import type { Neighbours } from "../../run/samples.ts";
import { count } from "../format.ts";
import { type Html, html } from "../html.ts";
import { picture } from "../picture.ts";

type Result = NonNullable<Neighbours["queries"][number]["results"][string]>[number];

/** Neighbours shown per query and encoder. */
const shown = 5;

export function neighbours(dir: string, { encoders, queries, note }: Neighbours): Html | undefined {
  if (queries.length === 0 || encoders.length === 0) return undefined;
  const labelled = queries.some(({ results }) =>
    Object.values(results)
      .flat()
      .some(({ hit }) => hit !== undefined),
  );
  return html`<section id="neighbours">
    <h2>Nearest neighbours</h2>
    <p class="lead">
      For the image on the left, the ${shown} images each encoder holds to be most
      alike.${labelled && " An outline marks those that share its label."}${note !== undefined && ` ${note}`}
    </p>
    <div class="neighbours" style="--columns: ${encoders.length}">
      <div class="query names">
        <span class="first"></span>
        ${encoders.map(
          ({ name, title = name }) =>
            html`<span
              ><b>${title}</b>${labelled && tally(queries.flatMap(({ results }) => resultsOf(results, name)))}</span
            >`,
        )}
      </div>
      ${queries.map(
        ({ id, image, results }) =>
          html`<div class="query">
            ${picture(dir, image, id)}
            ${encoders.map(
              ({ name, title = name }) =>
                html`<div class="strip">
                  <span class="who">${title}</span>
                  ${resultsOf(results, name).map((result) => neighbour(dir, result, labelled))}
                </div>`,
            )}
          </div>`,
      )}
    </div>
  </section>`;
}

function resultsOf(results: Readonly<Record<string, readonly Result[]>>, encoder: string): readonly Result[] {
  return (results[encoder] ?? []).slice(0, shown);
}

function tally(results: readonly Result[]): string {
  return `${results.filter(({ hit }) => hit).length} of ${count(results.length, "image")} share the label`;
}

function neighbour(dir: string, { id, image, similarity, hit }: Result, labelled: boolean): Html {
  const details = [id, similarity !== undefined && `similarity ${similarity.toFixed(2)}`, hit && "same label"];
  const title = details.filter((detail) => typeof detail === "string").join(", ");
  return picture(dir, image, title, labelled ? (hit ? "hit" : "miss") : "plain");
}
