/** Which classes an encoder takes for which: the matrix, and the worst pairs in pictures. */
import type { Confusion } from "../../run/confusion.ts";
import { count, imagesName, percent } from "../format.ts";
import { type Cell, heatChart } from "../heat.ts";
import { type Html, html } from "../html.ts";
import { picture } from "../picture.ts";

/** Classes of a matrix that can still be read. */
const limit = 20;

export function confusion(dir: string, measured: Confusion): Html | undefined {
  const { data, encoder, label, classes, counts, pairs } = measured;
  const total = sum(counts.map(sum));
  if (total === 0) return undefined;
  const right = sum(counts.map((row, i) => row[i]!));
  const shown = shownClasses(measured);
  return html`<section id="confusion">
    <h2>What is taken for what</h2>
    <p class="lead">
      ${encoder.title}, ${label}, on ${imagesName(data)}: ${percent(right / total)} of ${count(total, "test image")}
      right. A row holds the images of a class, a column those taken for
      it.${shown.length < classes.length && ` Of ${classes.length} classes, the ${shown.length} of the worst pairs are shown.`}
    </p>
    <figure class="wide matrix" tabindex="0">${matrix(measured, shown)}</figure>
    ${
      pairs.length > 0 &&
      html`<div class="pairs">
        ${pairs.map(({ truth, predicted, count: times, images, examples }) => {
          const [from, to] = [classes[truth]!, classes[predicted]!];
          return html`<article>
            <h3>${from} <span>taken for</span> ${to}</h3>
            <div class="pair">
              <figure>
                <figcaption class="small-title">${times} of ${count(sum(counts[truth]!), "image")}</figcaption>
                <div class="strip">${images.map(({ id, image }) => picture(dir, image, `${id}, taken for ${to}`))}</div>
              </figure>
              ${
                examples.length > 0 &&
                html`<figure>
                  <figcaption class="small-title">${to} itself</figcaption>
                  <div class="strip">
                    ${examples.map(({ id, image }) => picture(dir, image, `${id}, an example of ${to}`))}
                  </div>
                </figure>`
              }
            </div>
          </article>`;
        })}
      </div>`
    }
  </section>`;
}

/** All classes, or those of the worst pairs, in their own order. */
function shownClasses({ classes, pairs }: Confusion): number[] {
  const all = classes.map((_, i) => i);
  if (classes.length <= limit) return all;
  const worst = [...new Set(pairs.flatMap(({ truth, predicted }) => [truth, predicted]))].slice(0, limit);
  return all.filter((i) => worst.includes(i));
}

/** Right answers in one colour, by their share of the row; wrong ones in another, the strongest where they are most frequent. */
function matrix({ classes, counts }: Confusion, shown: readonly number[]): Html {
  const share = (row: number, column: number) => counts[row]![column]! / Math.max(1, sum(counts[row]!));
  const worst = Math.max(...shown.flatMap((row) => shown.map((column) => (row === column ? 0 : share(row, column)))));
  const cells = shown.flatMap((truth, row) =>
    shown.map((predicted, column): Cell => {
      const times = counts[truth]![predicted]!;
      const same = truth === predicted;
      return {
        row,
        column,
        color: times === 0 ? "var(--faint)" : same ? "var(--heat-hit)" : "var(--heat-miss)",
        strength: times === 0 ? 0.5 : 0.08 + (0.92 * share(truth, predicted)) / (same ? 1 : worst),
        ...(times === 0 ? {} : { text: String(times) }),
        title: `${classes[truth]} ${same ? "recognised" : `taken for ${classes[predicted]}`}: ${times} of ${sum(counts[truth]!)}`,
      };
    }),
  );
  const names = shown.map((i) => shorten(classes[i]!));
  return heatChart(cells, {
    label: "test images by true class (rows) and by what they are taken for (columns)",
    rows: names,
    columns: names,
    rowLabel: "true class",
    columnLabel: "taken for",
    side: shown.length > 12 ? 29 : 44,
  });
}

function shorten(name: string): string {
  return name.length <= 20 ? name : `${name.slice(0, 19)}…`;
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
