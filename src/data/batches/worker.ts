/** Entry of a worker thread: opens the source and answers requests for rows, one after the other. */
import { parentPort, workerData } from "node:worker_threads";
import sharp from "sharp";
import type { Description } from "../sources/description.ts";
import type { ImageIndex } from "../sources/image-index.ts";
import { rowMaker, type RowOptions, type Rows } from "./rows.ts";
import { openSource, type SourceInput } from "../sources/open.ts";
import { sample, subset } from "../sources/subset.ts";

export interface WorkerOptions extends RowOptions {
  readonly source: Description["source"];
  /** Of the source's images, in memory that all threads share. Without it the source is opened from its files. */
  readonly index?: ImageIndex | undefined;
  readonly limit?: number | undefined;
  /** The images in use, as rows of those; default all. */
  readonly rows?: Int32Array | undefined;
  /** Number of images that the main thread found. */
  readonly length: number;
}

export interface Request {
  readonly ticket: number;
  readonly epoch: number;
  readonly indices: Int32Array;
}

export type Answer = { readonly ticket: number } & ({ readonly rows: Rows } | { readonly error: string });

// Images are decoded several at a time and seen once: neither threads within an image nor libvips' cache help.
sharp.concurrency(1);
sharp.cache(false);

const options = workerData as WorkerOptions;
const opened = open();
opened.catch(() => undefined); // reported with the first answer

async function open() {
  const { rows } = options;
  const whole = sample(await openSource(options.source as SourceInput, options.index), options.limit, options.seed);
  if (whole.length !== options.length)
    throw new Error(`${whole.name} changed while it was opened: ${options.length} images, then ${whole.length}`);
  return rowMaker(rows === undefined ? whole : subset(whole, rows), options);
}

async function answer({ ticket, epoch, indices }: Request): Promise<void> {
  try {
    const rows = await (await opened)(epoch, indices);
    const buffers = [...Object.values(rows.fields), rows.indices].map((data) => data.buffer);
    parentPort!.postMessage({ ticket, rows } satisfies Answer, buffers);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    parentPort!.postMessage({ ticket, error: message } satisfies Answer, []);
  }
}

let last = Promise.resolve();
parentPort!.on("message", (request: Request) => {
  last = last.then(() => answer(request));
});
