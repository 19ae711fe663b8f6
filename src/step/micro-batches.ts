/** How a batch is cut into what one run of the graph takes, and put together again. */
import { sizeOf } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { Backend } from "../backend/backend.ts";
import type { Collective } from "../collective/collective.ts";
import type { Objective } from "../objectives/objective.ts";

export type Fields = Readonly<Record<string, Tensor>>;
/** The samples of a step by field: all of them, or whatever micro-batch is asked for, [micro-batch, …]. */
export type Samples = Fields | ((microBatch: number) => Promise<Fields>);

export interface MicroBatches {
  /** Samples of one. */
  readonly size: number;
  /** Of a step in this process. */
  readonly count: number;
  /** How often each is needed: a loss over the whole batch comes between the forward and the backward pass. */
  readonly passes: 1 | 2;
}

/**
 * Cuts a batch into a shard for each process of a job, and the shard into equal micro-batches no larger than `microBatch`.
 * Throws when the processes cannot share it.
 */
export function cut(
  { coupled }: Pick<Objective, "coupled">,
  batch: number,
  microBatch: number,
  { size }: Pick<Collective, "size">,
): MicroBatches {
  const shard = batch / size;
  if (!Number.isInteger(shard))
    throw new Error(`a batch of ${batch} cannot be shared by ${size} processes: set batch to a multiple of ${size}`);
  let count = Math.ceil(shard / microBatch);
  while (shard % count !== 0) count++;
  return { size: shard / count, count, passes: coupled && count > 1 ? 2 : 1 };
}

/** The largest part of a batch, and divisor of it, of at most `limit` rows (images × tokens). */
export function partOf(batch: number, rowsPerImage: number, limit: number): number {
  const sizes = Array.from({ length: batch }, (_, i) => i + 1).filter((size) => batch % size === 0);
  return sizes.findLast((size) => size * rowsPerImage <= limit) ?? 1;
}

/** The runtime takes long to open a graph of many nodes. */
const mostParts = 8;

/** How many samples of a micro-batch are encoded at a time, so that their activations lie in the caches of the processor. */
export function cachedPart({ cachedRows = Infinity }: Backend, { tokens }: Objective, microBatch: number): number {
  let part = partOf(microBatch, tokens, cachedRows);
  while (microBatch % part !== 0 || microBatch / part > mostParts) part++;
  return part;
}

/** The fields of micro-batch `i`. `offset`: of the number by which a second pass asks for it. */
export async function microBatchOf(
  { fields }: Pick<Objective, "fields">,
  samples: Samples,
  i: number,
  size: number,
  offset = 0,
): Promise<Fields> {
  const given = typeof samples === "function" ? await samples(offset + i) : samples;
  const first = typeof samples === "function" ? 0 : i;
  const found = Object.entries(fields).map(([name, shape]) => {
    const field = given[name];
    if (field === undefined) throw new Error(`the batch has no field ${name}`);
    const length = sizeOf(shape) * size;
    const rows = field.data.subarray(first * length, (first + 1) * length) as Float32Array;
    return [name, tensor("float32", [size, ...shape], rows)] as const;
  });
  return Object.fromEntries(found);
}

/**
 * Copies the rows of micro-batch `i` into the whole or out of it. The leading axis counts samples, or view after view the
 * samples of each.
 */
export function copyRows(whole: Tensor, part: Tensor, i: number, size: number, way: "in" | "out") {
  const views = part.shape[0]! / size;
  const stretch = part.data.length / views;
  const total = whole.data.length / views;
  const [all, own] = [whole.data as Float32Array, part.data as Float32Array];
  for (let view = 0; view < views; view++) {
    const start = view * total + i * stretch;
    if (way === "in") all.set(own.subarray(view * stretch, (view + 1) * stretch), start);
    else own.set(all.subarray(start, start + stretch), view * stretch);
  }
}
