/** Batches for training, made ahead of time by worker threads. Batch (epoch, step) is a pure function of the seed. */
import { fold, key } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { checkBadSample, type Skipped, usualBadShare } from "./bad.ts";
import { batchesAhead, startWorkerPool, type WorkerPool } from "./worker-pool.ts";
import { epochOrder } from "./order.ts";
import { rowMaker } from "./rows.ts";
import type { Source } from "../source.ts";
import { indexOf, openSource, type SourceInput } from "../sources/open.ts";
import { sample } from "../sources/subset.ts";
import { shapeOf, type ViewInput, viewSpec } from "../augmentation/views.ts";

export interface Batch {
  /** Per view its samples: [n, 3, size, size] or [n, length], where n is the batch by ranks and micro-batches. */
  readonly fields: Readonly<Record<string, Tensor<"float32">>>;
  /** The image in each row, as an index into the loader's source. */
  readonly indices: Int32Array;
}

export interface LoaderOptions {
  readonly source: SourceInput;
  /** Batch field → view. */
  readonly views: Readonly<Record<string, ViewInput>>;
  /** Images per batch, over all ranks. */
  readonly batch: number;
  readonly seed: number;
  /** Worker threads, default 1. 0 does the work in the calling thread. Changes nothing but the time. */
  readonly workers?: number;
  /** Memory for decoded images over all workers, default 1 GiB. What does not fit is decoded in every epoch. */
  readonly cacheBytes?: number;
  /** Share of unreadable images above which loading fails, default 0.1: see bad.ts. */
  readonly maxBadShare?: number;
  /** Use only so many images, drawn by the seed. */
  readonly limit?: number;
  /** Which of `ranks` processes this is, from 0; each gets an equal shard of every batch. Default: the only one. */
  readonly rank?: number;
  readonly ranks?: number;
  /** How many micro-batches a rank's shard is cut into (default 1), and how often they are asked for (default 1). */
  readonly microBatches?: number;
  readonly passes?: number;
}

export interface Loader {
  /** The images in use; `label` and `id` take a batch's indices. */
  readonly source: Source;
  /** The last, incomplete batch of an epoch is left out. */
  readonly stepsPerEpoch: number;
  /**
   * Cheapest in sequence: the two batches after it are made while the caller works. `microBatch` counts those of a
   * batch, pass after pass; those of the second pass are made again, the same, so that no batch is ever kept whole.
   */
  batch(epoch: number, step: number, microBatch?: number): Promise<Batch>;
  /** Unreadable images met so far. A row that asks for one gets the next readable image. */
  readonly skipped: readonly Skipped[];
  /** Milliseconds the caller has waited for batches. */
  waited(): number;
  close(): Promise<void>;
}

/** Opens the source and starts the workers. Throws when the source has no image, or fewer than a batch. */
export async function openLoader(options: LoaderOptions): Promise<Loader> {
  const { batch: batchSize, seed, workers = 1, cacheBytes = 2 ** 30, maxBadShare = usualBadShare, limit } = options;
  const { rank = 0, ranks = 1, microBatches = 1, passes = 1 } = options;
  const shard = batchSize / ranks;
  if (!Number.isInteger(shard))
    throw new Error(`a batch of ${batchSize} cannot be shared by ${ranks} ranks: set batch to a multiple of ${ranks}`);
  if (!Number.isInteger(rank) || rank < 0 || rank >= ranks)
    throw new Error(`there is no rank ${rank}: ${ranks} ranks have numbers 0 to ${ranks - 1}`);
  if (!Number.isInteger(shard / microBatches))
    throw new Error(`${shard} images cannot be cut into ${microBatches} equal parts; choose a divisor`);
  const views = Object.fromEntries(Object.entries(options.views).map(([name, view]) => [name, viewSpec.parse(view)]));
  const index = await indexOf(options.source);
  const source = sample(await openSource(options.source, index), limit, seed);
  const { length } = source;
  if (batchSize > length)
    throw new Error(
      `a batch of ${batchSize} is larger than the data set of ${length} images: ` +
        `set batch to ${length} or less, or add images`,
    );
  const rowOptions = { views, seed, cacheBytes, maxBadShare };
  const pool: WorkerPool =
    workers === 0
      ? { make: rowMaker(source, rowOptions), close: async () => undefined }
      : startWorkerPool({ source: options.source, index, limit, length, ...rowOptions }, workers, source.blocks);

  const stepsPerEpoch = Math.floor(length / batchSize);
  const orderOf = remember((epoch) =>
    epochOrder(length, source.blocks, fold(key(seed), "order", epoch), source.window),
  );
  const skipped = new Map<number, Skipped>();
  const ahead = new Map<number, Promise<Batch>>();
  const isAsked = new Uint8Array(length);
  let [tried, badTried] = [0, 0];
  let waitedMs = 0;

  const perStep = microBatches * passes;
  const size = shard / microBatches;

  async function make(serial: number): Promise<Batch> {
    const step = Math.floor(serial / perStep);
    const epoch = Math.floor(step / stepsPerEpoch);
    const first = (step % stepsPerEpoch) * batchSize + rank * shard + (serial % microBatches) * size;
    const asked = orderOf(epoch).slice(first, first + size);
    const rows = await pool.make(epoch, asked);
    for (const bad of rows.bad) skipped.set(bad.index, bad);
    // those that stand in are neighbours of bad ones, and no sample
    for (const index of asked) {
      if (isAsked[index] === 1) continue;
      isAsked[index] = 1;
      tried++;
      if (skipped.has(index)) badTried++;
    }
    checkBadSample([...skipped.values()], { tried, badTried, length, share: maxBadShare });
    const fields = Object.entries(rows.fields).map(
      ([name, data]) => [name, tensor("float32", [size, ...shapeOf(views[name]!)], data)] as const,
    );
    return { fields: Object.fromEntries(fields), indices: rows.indices };
  }

  return {
    source,
    stepsPerEpoch,
    async batch(epoch, step, microBatch = 0) {
      if (!(epoch >= 0 && step >= 0 && step < stepsPerEpoch))
        throw new Error(`there is no step ${step} in epoch ${epoch}: an epoch has steps 0 to ${stepsPerEpoch - 1}`);
      if (!(microBatch >= 0 && microBatch < perStep))
        throw new Error(`there is no micro-batch ${microBatch} of a batch in ${perStep}`);
      const serial = (epoch * stepsPerEpoch + step) * perStep + microBatch;
      if (!Number.isSafeInteger(serial + batchesAhead))
        throw new Error(`epoch ${epoch} is too far: ${stepsPerEpoch} steps each make more than 2^53 batches`);
      for (const other of ahead.keys()) if (other < serial || other > serial + batchesAhead) ahead.delete(other);
      const last = workers === 0 ? serial : serial + batchesAhead;
      for (let next = serial; next <= last; next++)
        if (!ahead.has(next)) {
          const started = make(next);
          started.catch(() => undefined); // the caller hears of it when it asks for this batch
          ahead.set(next, started);
        }
      const start = performance.now();
      try {
        return await ahead.get(serial)!;
      } finally {
        waitedMs += performance.now() - start;
      }
    },
    get skipped() {
      return [...skipped.values()].sort((a, b) => a.index - b.index);
    },
    waited: () => waitedMs,
    close: () => pool.close(),
  };
}

/** The last two results of `make`: batches are made ahead across the border of two epochs. */
function remember<T>(make: (n: number) => T): (n: number) => T {
  const known = new Map<number, T>();
  return (n) => {
    const value = known.get(n) ?? make(n);
    known.set(n, value);
    for (const old of known.keys()) if (known.size > 2 && old !== n) known.delete(old);
    return value;
  };
}
