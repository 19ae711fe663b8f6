/** Images of a source as pictures in samples/. */
import { join } from "node:path";
import { evaluationBatches } from "../data/evaluation.ts";
import { denormalise, encodePng } from "../data/png.ts";
import type { Source } from "../data/source.ts";
import type { CenterView } from "../data/views.ts";
import { writeFileAtomic } from "../run/atomic.ts";

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
  const draw = async (index: number) => {
    const name = `${prefix}${index}.png`;
    const { value } = await evaluationBatches(source, view, 1, { indices: [index] }).next();
    writeFileAtomic(join(dir, "samples", name), await encodePng(denormalise(value!.images.data, view)));
    return name;
  };
  return (index) => {
    if (!drawn.has(index)) drawn.set(index, draw(index));
    return drawn.get(index)!;
  };
}
