/** Images of a source as pictures in samples/. */
import { pictured } from "../data/batches/evaluation.ts";
import type { Source } from "../data/source.ts";
import type { CenterView } from "../data/augmentation/views.ts";
import { writePicture } from "../run/samples.ts";

/**
 * A function that draws image `index` as an encoder sees it, once, and returns the picture's name: `prefix` and the index.
 * It rejects when the image cannot be read.
 */
export function thumbnails(
  dir: string,
  prefix: string,
  source: Source,
  view: CenterView,
): (index: number) => Promise<string> {
  const drawn = new Map<number, Promise<string>>();
  const draw = async (index: number) => writePicture(dir, `${prefix}${index}.png`, await pictured(source, index, view));
  return (index) => {
    if (!drawn.has(index)) drawn.set(index, draw(index));
    return drawn.get(index)!;
  };
}
