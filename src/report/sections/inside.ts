/** What goes on inside the encoders: where they look, how far, what their features are like, and how alike they are. */
import type { Analysis } from "../../run/analysis.ts";
import { curveChart, legend } from "../curves.ts";
import { compact, imagesName } from "../format.ts";
import { type Cell, heatChart } from "../heat.ts";
import { type Html, html } from "../html.ts";
import { picture } from "../picture.ts";

type Colors = ReadonlyMap<string, string>;
type Statistic = Exclude<keyof Analysis["encoders"][number]["statistics"][number], "depth">;

/** Images that stand side by side. */
const shownMaps = 8;

const statistics: readonly { readonly name: Statistic; readonly title: string; readonly meaning: string }[] = [
  { name: "norm", title: "length", meaning: "mean Euclidean length" },
  { name: "deviation", title: "deviation", meaning: "of directions: 0 is collapse, 1 all directions alike" },
  { name: "correlation", title: "correlation", meaning: "mean square between columns: 0 when none repeats another" },
  { name: "participationRatio", title: "participation ratio", meaning: "how many directions are in use" },
];

export function inside(dir: string, analysis: Analysis, colors: Colors): Html | undefined {
  const parts = [
    attention(dir, analysis),
    html`<div class="stages">${distances(analysis, colors)}${features(analysis, colors)}</div>`,
    similarities(analysis),
  ].filter((part) => part !== undefined);
  if (parts.length === 0) return undefined;
  return html`<section id="inside">
    <h2>Inside the encoders</h2>
    <p class="lead">Measured on images of ${imagesName(analysis.data)}.</p>
    ${parts}
  </section>`;
}

function attention(dir: string, { encoders, attention: rows = [] }: Analysis): Html | undefined {
  if (rows.length === 0) return undefined;
  const seen = encoders.filter(({ name }) => rows.some(({ maps }) => maps[name] !== undefined));
  return html`<article class="part">
    <h3>Where they look</h3>
    <p>The brighter, the more the class token of the last block looks there; mean over heads.</p>
    <div class="looks" tabindex="0" style="--rows: ${seen.length + 1}">
      <div class="look names">
        <span>image</span>
        ${seen.map(({ title }) => html`<span>${title}</span>`)}
      </div>
      ${rows.slice(0, shownMaps).map(
        ({ id, image, maps }) =>
          html`<div class="look">
            ${picture(dir, image, id)}
            ${seen.map(({ name, title }) => {
              const map = maps[name];
              return map !== undefined && picture(dir, map, `${id}: attention of ${title}`);
            })}
          </div>`,
      )}
    </div>
  </article>`;
}

function distances({ encoders, imageSize }: Analysis, colors: Colors): Html | undefined {
  const curves = encoders
    .filter(({ distances }) => distances.length > 0)
    .map(({ name, title, distances }) => ({
      title,
      color: colors.get(name)!,
      points: distances.map(({ block, mean }) => ({ x: block, y: mean })),
      dots: distances.flatMap(({ block, heads }) => heads.map((y) => ({ x: block, y }))),
    }));
  if (curves.length === 0) return undefined;
  return html`<article class="part">
    <h3>How far they look</h3>
    <p>Mean attention distance in pixels of an image ${imageSize} pixels wide: lines are means, dots are heads.</p>
    <figure>
      ${curveChart(curves, {
        label: "mean attention distance of each block, by encoder",
        xLabel: "block",
        height: 300,
        zero: true,
      })}
    </figure>
  </article>`;
}

function features({ encoders }: Analysis, colors: Colors): Html | undefined {
  const measured = encoders.filter(({ statistics }) => statistics.length > 0);
  if (measured.length === 0) return undefined;
  return html`<article class="part">
    <h3>What their features are like</h3>
    <p>The mean patch token at every depth; 0 is the patch embedding.</p>
    ${legend(measured.map(({ name, title }) => ({ title, color: colors.get(name)! })))}
    <div class="multiples">
      ${statistics.map(
        ({ name, title, meaning }) =>
          html`<figure>
            <figcaption class="small-title"><b>${title}</b> ${meaning}</figcaption>
            ${curveChart(
              measured.map((encoder) => ({
                title: encoder.title,
                color: colors.get(encoder.name)!,
                points: encoder.statistics.map((each) => ({ x: each.depth, y: each[name] })),
              })),
              {
                label: `${title} at every depth, by encoder`,
                width: 240,
                height: 124,
                zero: true,
                titles: "elsewhere",
              },
            )}
          </figure>`,
      )}
    </div>
  </article>`;
}

function similarities({ encoders, similarities: all = [] }: Analysis): Html | undefined {
  const shown = all.filter(({ values }) => values.length > 0 && values[0]!.length > 0);
  if (shown.length === 0) return undefined;
  const titles = new Map(encoders.map(({ name, title }) => [name, title]));
  return html`<article class="part">
    <h3>How alike their depths are</h3>
    <p>
      Linear CKA of the mean patch tokens, depth by depth: <span class="scale"></span> from 0, nothing in common, to 1,
      the same up to rotation and scale.
    </p>
    <div class="groups">
      ${shown.map(({ first, second, values }) => {
        const [a, b] = [titles.get(first) ?? first, titles.get(second) ?? second];
        return html`<figure>${similarityChart(a, b, values)}</figure>`;
      })}
    </div>
  </article>`;
}

function similarityChart(first: string, second: string, values: readonly (readonly number[])[]): Html {
  const cells = values.flatMap((row, i) =>
    row.map((value, j): Cell => ({
      row: i,
      column: j,
      color: "var(--stage-1)",
      strength: Math.max(0, Math.min(1, value)),
      title: `depth ${i} of ${first}, depth ${j} of ${second}: ${compact(value)}`,
    })),
  );
  const numbers = (count: number) =>
    Array.from({ length: count }, (_, i) => (count > 14 && i % 4 !== 0 ? "" : String(i)));
  const [down, across] = [values.length, values[0]!.length];
  return heatChart(cells, {
    label: `CKA between every depth of ${first} (rows) and of ${second} (columns)`,
    rows: numbers(down),
    columns: numbers(across),
    rowLabel: `${first}, depth`,
    columnLabel: `${second}, depth`,
    side: 240 / Math.max(down, across),
    names: "flat",
  });
}
