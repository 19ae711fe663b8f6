/** In which order an epoch shows the images. */
import { blockOf } from "../sources/blocks.ts";
import { fold, type Key, Random } from "../../tensor/random.ts";

/**
 * Blocks are shuffled, and taken a window at a time: at least so many blocks and so many images. What is read together
 * is thus used within a short time, and a batch still has images from all over the data set.
 */
const windowBlocks = 8;
const windowImages = 8192;

/**
 * All images once, by `root` alone: a random order, or with `blocks` (see Source) random blocks in random windows, which
 * have at least `window` images if the source says so.
 */
export function epochOrder(
  length: number,
  blocks: ArrayLike<number> | undefined,
  root: Key,
  window?: number,
): Int32Array {
  if (blocks === undefined) return new Random(root).permutation(length);
  const order = new Int32Array(length);
  const shuffled = new Random(fold(root, "blocks")).permutation(blocks.length);
  let [filled, start, count] = [0, 0, 0];
  for (const [i, block] of shuffled.entries()) {
    const end = block + 1 < blocks.length ? blocks[block + 1]! : length;
    for (let image = blocks[block]!; image < end; image++) order[filled++] = image;
    count++;
    const images = filled - start;
    const isFull = window === undefined ? count >= windowBlocks && images >= windowImages : images >= window;
    if (!isFull && i < shuffled.length - 1) continue;
    const mixed = order.slice(start, filled);
    const places = new Random(fold(root, "window", start)).permutation(images);
    for (let place = 0; place < images; place++) order[start + place] = mixed[places[place]!]!;
    [start, count] = [filled, 0];
  }
  return order;
}

/**
 * Which of `workers` an image belongs to, the same one in every epoch. A block has one worker, so that one thread reads
 * it; where blocks are too few to keep all workers busy, every worker reads them.
 */
export function workerOf(blocks: ArrayLike<number> | undefined, workers: number): (image: number) => number {
  if (blocks === undefined || blocks.length < 4 * workers) return (image) => image % workers;
  return (image) => blockOf(blocks, image) % workers;
}
