import type { Tensor } from "../tensor/tensor.ts";
import type { Skipped } from "../data/batches/bad.ts";
import { evaluationBatches } from "../data/batches/evaluation.ts";
import type { Source } from "../data/source.ts";
import type { CenterView } from "../data/augmentation/views.ts";
import type { Features } from "./evaluator.ts";

export interface CollectOptions {
  /** Images per call of `rowsOf`. */
  readonly batch: number;
  /** Numbers per image. */
  readonly width: number;
  /** [batch, 3, S, S] → batch rows of `width` numbers. */
  rowsOf(images: Tensor<"float32">): Promise<Float32Array>;
}

/** Features of every image of a source, row i for image i. Rejects when no image can be read. */
export async function collect(
  source: Source,
  view: CenterView,
  { batch, width, rowsOf }: CollectOptions,
): Promise<Features> {
  const partsOf = async (images: Tensor<"float32">) => [await rowsOf(images)];
  return (await collectParts(source, view, { batch, widths: [width], partsOf }))[0]!;
}

export interface CollectPartsOptions {
  readonly batch: number;
  /** Numbers per image of each part. */
  readonly widths: readonly number[];
  /** [batch, 3, S, S] → of each part batch rows. */
  partsOf(images: Tensor<"float32">): Promise<readonly Float32Array[]>;
}

/** The same where one look at an image gives several kinds of features. */
export async function collectParts(
  source: Source,
  view: CenterView,
  { batch, widths, partsOf }: CollectPartsOptions,
): Promise<Features[]> {
  const parts = widths.map((width) => ({ rows: new Float32Array(source.length * width), width }));
  const unreadable: Skipped[] = [];
  const onUnreadable = (index: number, { message }: Error) =>
    void unreadable.push({ index, id: source.id(index), reason: message });
  for await (const { images, indices } of evaluationBatches(source, view, batch, { onUnreadable })) {
    const found = await partsOf(images);
    for (const [p, { rows, width }] of parts.entries())
      for (const [i, index] of indices.entries())
        rows.set(found[p]!.subarray(i * width, (i + 1) * width), index * width);
  }
  if (unreadable.length > 0 && unreadable.length === source.length) throw new Error(unreadable[0]!.reason);
  const more = unreadable.length === 0 ? {} : { unreadable };
  return parts.map((part) => ({ ...part, count: source.length, ...more }));
}
