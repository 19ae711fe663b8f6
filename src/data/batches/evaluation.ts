/** Images for evaluation: in order, without randomness, every one of them. */
import { processors } from "../../backend/machine.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import type { Skipped } from "./bad.ts";
import { batchesAhead, startWorkerPool, type WorkerPool } from "./worker-pool.ts";
import { descriptionOf } from "../sources/description.ts";
import { denormalise } from "../augmentation/denormalise.ts";
import { type Rows, rowMaker } from "./rows.ts";
import type { Pixels, Source } from "../source.ts";
import { type CenterView, type ImageView, shapeOf } from "../augmentation/views.ts";

export interface EvaluationBatch {
  /** [batch, 3, size, size]: always `batch` rows, because graphs have static shapes; rows past the images are zero. */
  readonly images: Tensor<"float32">;
  /** The image in each row. Shorter than `batch` in the last batch. */
  readonly indices: Int32Array;
}

export interface EvaluationOptions {
  /** Images to show, default all. */
  readonly indices?: ArrayLike<number>;
  /** Called for an image that cannot be read, which is then left out. Without it such an image rejects. */
  readonly onUnreadable?: (index: number, error: Error) => void;
  /** For a view with random crops or flips, as a linear probe trains on: another epoch, another draw. Default 0. */
  readonly seed?: number;
  readonly epoch?: number;
  /**
   * Worker threads that make batches ahead of time, of a source that they can open again. 0 does the work in the calling
   * thread, as the default does for few images. Changes nothing but the time.
   */
  readonly workers?: number | undefined;
}

/** The view's name in the keys of its randomness. */
const field = "evaluation";

/** Batches of `view` on `source`, made ahead of time. The memory of a batch is not used again. */
export async function* evaluationBatches(
  source: Source,
  view: ImageView,
  batch: number,
  { indices, onUnreadable, seed = 0, epoch = 0, workers }: EvaluationOptions = {},
): AsyncGenerator<EvaluationBatch, void, undefined> {
  const order = Int32Array.from(indices ?? { length: source.length }, (value: number | undefined, i) => value ?? i);
  const { pool, ahead } = openPool(source, view, seed, workers ?? usualWorkers(order.length));
  const shape = [batch, ...shapeOf(view)];
  const length = 3 * view.size * view.size;
  const made: Promise<Rows>[] = [];
  const bad = new Map<number, Skipped>();
  let started = 0;
  let data = new Float32Array(batch * length);
  let used: number[] = [];
  try {
    for (let at = 0; at < order.length; at += batch) {
      for (; started < Math.min(order.length, at + (1 + ahead) * batch); started += batch) {
        const next = pool.make(epoch, order.slice(started, started + batch));
        next.catch(() => undefined); // the caller hears of it when its turn comes
        made.push(next);
      }
      const rows = await made.shift()!;
      const found = rows.fields[field]!;
      if (used.length === 0 && rows.indices.length === batch && !rows.indices.includes(-1)) {
        yield { images: tensor("float32", shape, found), indices: rows.indices };
        continue;
      }
      for (const each of rows.bad) bad.set(each.index, each);
      for (const [row, index] of rows.indices.entries()) {
        if (index === -1) {
          const { index: asked, reason } = bad.get(order[at + row]!)!;
          if (onUnreadable === undefined) throw new Error(reason);
          onUnreadable(asked, new Error(reason));
          continue;
        }
        data.set(found.subarray(row * length, (row + 1) * length), used.length * length);
        used.push(index);
        if (used.length < batch) continue;
        yield { images: tensor("float32", shape, data), indices: Int32Array.from(used) };
        data = new Float32Array(batch * length);
        used = [];
      }
    }
    if (used.length > 0) yield { images: tensor("float32", shape, data), indices: Int32Array.from(used) };
  } finally {
    await pool.close();
  }
}

function openPool(source: Source, view: ImageView, seed: number, workers: number): { pool: WorkerPool; ahead: number } {
  const options = { views: { [field]: view }, seed, cacheBytes: 0, maxBadShare: 1, standIns: false };
  const description = workers === 0 ? undefined : descriptionOf(source);
  if (description === undefined)
    return { pool: { make: rowMaker(source, options), close: async () => undefined }, ahead: 0 };
  return { pool: startWorkerPool({ ...description, ...options }, workers, source.blocks), ahead: batchesAhead };
}

/** Threads take a moment to start, and more than a few find no image to decode: sharp's own are shared by all. */
function usualWorkers(images: number): number {
  return images < 256 ? 0 : Math.min(4, Math.max(1, processors() - 1));
}

/** Image `index` as `view` shows it, for the eye. Rejects when it cannot be read. */
export async function pictured(source: Source, index: number, view: CenterView): Promise<Pixels> {
  const { value } = await evaluationBatches(source, view, 1, { indices: [index] }).next();
  return denormalise(value!.images.data, view);
}
