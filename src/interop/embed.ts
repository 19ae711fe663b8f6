/** Features of many images, from an encoder to a file. */
import { mkdirSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import type { DeviceOptions } from "../backend/device.ts";
import { checkBad, type Skipped, usualBadShare } from "../data/batches/bad.ts";
import { evaluationBatches } from "../data/batches/evaluation.ts";
import { openSource, type SourceInput } from "../data/sources/open.ts";
import { inRange } from "../data/sources/range.ts";
import { sample } from "../data/sources/subset.ts";
import { checkpointFile, checkpointSetup, loadEncoder } from "../evaluators/encoder.ts";
import { ownVersion } from "../run/environment.ts";
import { createFeatures, formatOf } from "./features-file.ts";

/** Device and threads: of the encoder. */
export interface EmbedOptions extends DeviceOptions {
  /** Of a run folder: the stage whose encoder it is (default: the last). */
  readonly stage?: string | undefined;
  /** Images per run of the encoder (default 64). */
  readonly batch?: number | undefined;
  /** See `evaluationBatches`. */
  readonly workers?: number | undefined;
  /** At most so many images, drawn evenly. */
  readonly limit?: number | undefined;
  /** Share of unreadable images above which it stops, default 0.1. */
  readonly maxBadShare?: number | undefined;
  /** Stops after the batch at hand and rejects with the signal's reason; nothing is left behind. */
  readonly signal?: AbortSignal;
  /** Called after every batch with the images done. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly onUnreadable?: (bad: Skipped) => void;
}

export interface Embedded {
  /** Rows written. */
  readonly count: number;
  readonly width: number;
  /** The checkpoint file, and the sha256 of its tensors. */
  readonly checkpoint: string;
  readonly sha256: string;
  /** Images that have no row. */
  readonly unreadable: readonly Skipped[];
}

/**
 * Writes a row per image to `out`, a `.parquet` or `.npy` file, in the source's order. `from` is a run folder or a
 * checkpoint. Only a few batches are in memory at a time; what stood under the name `out` stays until the new file is
 * whole. Images that cannot be read are left out.
 */
export async function embedImages(
  from: string,
  images: SourceInput,
  out: string,
  options: EmbedOptions = {},
): Promise<Embedded> {
  const { stage, batch = 64, device, threads } = options;
  const { workers, limit, maxBadShare = usualBadShare, signal, onProgress, onUnreadable } = options;
  formatOf(out);
  const checkpoint = checkpointFile(from, stage);
  const { model, view, range, sha256 } = checkpointSetup(checkpoint);
  const source = sample(await openSource(inRange(images, range)), limit, 0);
  const folder = dirname(resolve(out));
  mkdirSync(folder, { recursive: true });

  const unreadable: Skipped[] = [];
  const leaveOut = (index: number, { message }: Error) => {
    const bad = { index, id: source.id(index), reason: message };
    unreadable.push(bad);
    onUnreadable?.(bad);
    checkBad(unreadable, source.length, maxBadShare);
  };
  const encoder = await loadEncoder(checkpoint, { batch, device, threads });
  const { width } = model;
  const labelled = source.classes.length > 0;
  const origin = { layergraft: ownVersion(), checkpoint: relative(folder, checkpoint), sha256, model, view };
  const file = createFeatures(out, { width, labelled, origin: { ...origin, images: source.name } });
  let count = 0;
  try {
    for await (const { images, indices } of evaluationBatches(source, view, batch, {
      onUnreadable: leaveOut,
      workers,
    })) {
      signal?.throwIfAborted();
      const { data } = await encoder.encode(images);
      file.append({
        rows: data.subarray(0, indices.length * width),
        names: Array.from(indices, (index) => source.id(index)),
        labels: Array.from(indices, (index) => source.classes[source.label(index)]),
      });
      count += indices.length;
      onProgress?.(count + unreadable.length, source.length);
    }
    if (count === 0) throw new Error(unreadable[0]!.reason);
    signal?.throwIfAborted();
    file.commit();
  } finally {
    file.discard();
    await encoder.release();
  }
  return { count, width, checkpoint, sha256, unreadable };
}
