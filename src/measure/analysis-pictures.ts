/** The pictures of an analysis, written into a folder's samples/. */
import { fold, key, Random } from "../tensor/random.ts";
import { pictured } from "../data/batches/evaluation.ts";
import type { Source } from "../data/source.ts";
import { type CenterView, centerCrop, resized } from "../data/augmentation/views.ts";
import { overlay } from "../evaluators/attention.ts";
import type { Encoder } from "../evaluators/encoder.ts";
import type { Features } from "../evaluators/evaluator.ts";
import type { Aspect } from "../evaluators/inside.ts";
import { fewestOnMap, mapMethod, mapOf } from "../evaluators/map.ts";
import type { Analysis } from "../run/analysis.ts";
import { writePicture } from "../run/samples.ts";

/** What was seen of an encoder, on the same images as of all others. */
export interface Seen extends Record<Aspect, readonly Features[]> {
  readonly name: string;
  readonly title: string;
  readonly model: Encoder["model"];
  readonly view: Encoder["view"];
}

const shownAttention = 8;
/** Sides in pixels; pictures of attention are not larger than what the encoder sees. */
const attentionSide = 128;
const thumbnailSide = 32;

/** A few images, lit where the class token of each encoder's last block looks. */
export async function drawAttention(
  dir: string,
  source: Source,
  seen: readonly Seen[],
  seed: number,
): Promise<NonNullable<Analysis["attention"]>> {
  const order = new Random(fold(key(seed), "attention maps")).permutation(source.length);
  const shown: NonNullable<Analysis["attention"]> = [];
  for (const [i, index] of order.subarray(0, shownAttention).entries()) {
    const maps: Record<string, string> = {};
    const picture = (view: CenterView) => pictured(source, index, resized(view, Math.min(view.size, attentionSide)));
    for (const [e, { name, view, attention }] of seen.entries()) {
      const { rows, width } = attention.at(-1)!;
      const looks = rows.subarray(index * width, (index + 1) * width);
      maps[name] = await writePicture(dir, `a${i}-${e}.png`, overlay(await picture(view), looks));
    }
    const image = await writePicture(dir, `a${i}.png`, await picture(seen[0]!.view));
    shown.push({ id: source.id(index), image, maps });
  }
  return shown;
}

/** Every image as a thumbnail, and where each encoder's features put it; the reason when there are too few. */
export async function drawMap(
  dir: string,
  source: Source,
  seen: readonly Seen[],
  seed: number,
): Promise<NonNullable<Analysis["map"]> | { reason: string }> {
  const { length, classes } = source;
  if (length < fewestOnMap)
    return { reason: `There is no map of the features: it takes ${fewestOnMap} images, and there are ${length}.` };
  const images: NonNullable<Analysis["map"]>["images"] = [];
  const view = centerCrop(thumbnailSide, { resize: thumbnailSide });
  for (let i = 0; i < length; i++) {
    const image = await writePicture(dir, `m${i}.png`, await pictured(source, i, view));
    images.push({ id: source.id(i), image, group: source.label(i) });
  }
  const encoders = seen.map(({ name, title, features }) => ({
    name,
    title,
    points: mapOf(features.at(-1)!, seed).map(([x, y]) => [thousandth(x), thousandth(y)] as [number, number]),
  }));
  return { method: mapMethod, groups: [...classes], images, encoders };
}

function thousandth(x: number): number {
  return Math.round(1000 * x) / 1000;
}
