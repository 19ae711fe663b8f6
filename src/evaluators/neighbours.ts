/** Nearest neighbours by cosine similarity. */
import { tensor } from "../tensor/tensor.ts";
import * as op from "../graph/ops/index.ts";
import { openBackend } from "../backend/open.ts";
import type { EvaluatorOptions, Features } from "./evaluator.ts";

export interface Neighbours {
  /** Per query, most similar first: [queries, count]. */
  readonly indices: Int32Array;
  readonly similarities: Float32Array;
  readonly count: number;
}

const queriesAtOnce = 256;

/** The `count` most similar gallery rows of each query row. */
export async function neighbours(
  queries: Features,
  gallery: Features,
  count: number,
  options: EvaluatorOptions = {},
): Promise<Neighbours> {
  if (count > gallery.count)
    throw new Error(`${count} neighbours were asked for, but the gallery has only ${gallery.count} images`);
  const { width } = gallery;
  const q = op.input("queries", "float32", [queriesAtOnce, width]);
  const g = op.input("gallery", "float32", [gallery.count, width]);
  const { values, indices } = op.topK(op.matmul(q, g, { transB: true }), count);
  const program = await openBackend(options).compile({ values, indices });
  program.bind({ inputs: { gallery: tensor("float32", [gallery.count, width], unitRows(gallery)) } });
  const result = {
    indices: new Int32Array(queries.count * count),
    similarities: new Float32Array(queries.count * count),
    count,
  };
  const unit = unitRows(queries);
  for (let start = 0; start < queries.count; start += queriesAtOnce) {
    const block = new Float32Array(queriesAtOnce * width);
    block.set(unit.subarray(start * width, (start + queriesAtOnce) * width));
    const found = await program.run({ queries: tensor("float32", [queriesAtOnce, width], block) });
    const used = Math.min(queriesAtOnce, queries.count - start) * count;
    result.similarities.set((found["values"]!.data as Float32Array).subarray(0, used), start * count);
    result.indices.set(
      Int32Array.from((found["indices"]!.data as BigInt64Array).subarray(0, used), Number),
      start * count,
    );
  }
  await program.release();
  return result;
}

/** The rows divided by their length. */
export function unitRows({ rows, count, width }: Features): Float32Array {
  const unit = new Float32Array(rows.length);
  for (let i = 0; i < count; i++) {
    let squares = 0;
    for (let j = i * width; j < (i + 1) * width; j++) squares += rows[j]! ** 2;
    const factor = 1 / Math.max(Math.sqrt(squares), 1e-12);
    for (let j = i * width; j < (i + 1) * width; j++) unit[j] = rows[j]! * factor;
  }
  return unit;
}
