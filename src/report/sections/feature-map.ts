/** Features of images in the plane, a dot each, which shows its image to a pointer or to the keyboard. */
import type { Analysis } from "../../run/analysis.ts";
import { count } from "../format.ts";
import { Html, html } from "../html.ts";
import { stageColors } from "../palette.ts";
import { dataUri } from "../picture.ts";

type FeatureMap = NonNullable<Analysis["map"]>;

export function featureMap(dir: string, { method, groups, images, encoders }: FeatureMap): Html | undefined {
  if (images.length === 0 || encoders.length === 0) return undefined;
  const largest = largestGroups(groups.length, images);
  const place = (group: number) => (largest.includes(group) ? largest.indexOf(group) : stageColors.length);
  const others = new Set(images.map(({ group }) => group).filter((group) => group !== -1 && !largest.includes(group)));
  const legend = [
    ...largest.map((group, i) => ({ place: i, title: groups[group]! })),
    ...(others.size === 0 ? [] : [{ place: stageColors.length, title: count(others.size, "other group") }]),
  ];
  // small groups first, so that they lie below the others
  const order = images.map((_, i) => i).sort((a, b) => place(images[b]!.group) - place(images[a]!.group));
  return html`<section id="map">
    <h2>Map of the features</h2>
    <p class="lead">
      ${method}, of ${images.length} images: what lies close together is alike to the encoder. Point at a dot, or walk
      along the dots with Tab and the arrow keys, to see its
      image${encoders.length > 1 && " and where the other encoders put it"}${
        legend.length > 0 && "; point at a group to see it alone"
      }.
    </p>
    <style>
      ${new Html(images.map(({ image }, i) => imageRules(i, dataUri(dir, image))).join(""))}
    </style>
    <div class="feature-map">
      ${
        legend.length > 0 &&
        html`<ul class="legend">
          ${legend.map(({ place, title }) => html`<li class="k${place} g${place}"><i></i>${title}</li>`)}
        </ul>`
      }
      <div class="maps" style="--columns: ${encoders.length % 3 === 1 ? Math.min(2, encoders.length) : 3}">
        ${encoders.map(({ title, points }, map) => {
          const at = placesOf(points);
          return html`<figure>
            <figcaption class="small-title"><b>${title}</b></figcaption>
            <div class="map" role="radiogroup" aria-label="map of the features of ${title}">
              ${order.map((i) => {
                const { id, group } = images[i]!;
                const { x, y } = at[i]!;
                const sides = `${x > 50 ? " e" : ""}${y > 50 ? " s" : ""}`;
                const name = groups[group] === undefined ? id : `${id} (${groups[group]})`;
                return html`<input
                  type="radio"
                  name="map-${map}"
                  class="i${i} g${place(group)}${sides}"
                  style="left: ${x.toFixed(2)}%; top: ${y.toFixed(2)}%"
                  aria-label="${name}"
                />`;
              })}
            </div>
          </figure>`;
        })}
      </div>
    </div>
  </section>`;
}

/** The picture of image `i`, and its dots in all maps marked when one of them is looked at. */
function imageRules(i: number, uri: string): string {
  return `.i${i}{--image:url(${uri})}.maps:has(.i${i}:is(:hover,:focus-visible)) .i${i}{outline:2px solid var(--ink);z-index:1}\n`;
}

/** As many groups as there are colours, the largest first. */
function largestGroups(count: number, images: FeatureMap["images"]): number[] {
  const sizes = Array.from({ length: count }, (_, group) => images.filter((image) => image.group === group).length);
  return [...sizes.keys()]
    .filter((group) => sizes[group]! > 0)
    .sort((a, b) => sizes[b]! - sizes[a]! || a - b)
    .slice(0, stageColors.length);
}

/** Points in per cent of a square, with the same scale on both axes; y points down on the page. */
function placesOf(points: FeatureMap["encoders"][number]["points"]): { x: number; y: number }[] {
  const range = (values: readonly number[]) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return { centre: (low + high) / 2, size: high - low };
  };
  const [xs, ys] = [range(points.map(([x]) => x)), range(points.map(([, y]) => y))];
  const size = Math.max(xs.size, ys.size) || 1;
  return points.map(([x, y]) => ({
    x: 50 + (94 * (x - xs.centre)) / size,
    y: 50 - (94 * (y - ys.centre)) / size,
  }));
}
