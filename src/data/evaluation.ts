/** Images for evaluation: in order, without randomness, every one of them. */
import { fold, key, Random } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { augment } from "./augment.ts";
import { denormalise } from "./png.ts";
import type { Pixels, Source } from "./source.ts";
import { type CenterView, type ImageView, shapeOf } from "./views.ts";

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
}

/** Batches of `view` on `source`, made in the calling thread. The memory of a batch is not used again. */
export async function* evaluationBatches(
  source: Source,
  view: ImageView,
  batch: number,
  { indices, onUnreadable, seed = 0, epoch = 0 }: EvaluationOptions = {},
): AsyncGenerator<EvaluationBatch, void, undefined> {
  const order = Int32Array.from(indices ?? { length: source.length }, (value: number | undefined, i) => value ?? i);
  const length = 3 * view.size * view.size;
  let data = new Float32Array(batch * length);
  let used: number[] = [];
  for (const index of order) {
    let pixels: Pixels;
    try {
      pixels = await source.load(index);
    } catch (error) {
      if (onUnreadable === undefined || !(error instanceof Error)) throw error;
      onUnreadable(index, error);
      continue;
    }
    const random = new Random(fold(key(seed), "view", "evaluation", epoch, index));
    augment(pixels, view, random, data.subarray(used.length * length, (used.length + 1) * length));
    used.push(index);
    if (used.length < batch) continue;
    yield { images: tensor("float32", [batch, ...shapeOf(view)], data), indices: Int32Array.from(used) };
    data = new Float32Array(batch * length);
    used = [];
  }
  if (used.length > 0)
    yield { images: tensor("float32", [batch, ...shapeOf(view)], data), indices: Int32Array.from(used) };
}

/** Image `index` as `view` shows it, for the eye. Rejects when it cannot be read. */
export async function pictured(source: Source, index: number, view: CenterView): Promise<Pixels> {
  const { value } = await evaluationBatches(source, view, 1, { indices: [index] }).next();
  return denormalise(value!.images.data, view);
}
