/** What a file of features is, whatever its format. */
import { readSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import * as z from "zod";
import { type AtomicFile, createFileAtomic, removeLeftovers } from "../run/atomic.ts";

/** How features were made. */
export interface FeaturesOrigin {
  /** Version of layergraft. */
  readonly layergraft: string;
  /** The checkpoint file, from the folder of the features. */
  readonly checkpoint: string;
  /** Of the checkpoint's tensors, as in its header. */
  readonly sha256: string;
  readonly model: unknown;
  readonly view: unknown;
  /** Name of the source. */
  readonly images: string;
}

/** A few rows. */
export interface FeaturesPart {
  /** Numbers of the rows, one row after the other. A row that somebody's file has no feature for is NaN. */
  readonly rows: Float32Array;
  /** What each row's image is called. */
  readonly names: readonly string[];
  /** The class of each; undefined for an image without one, or all undefined in a file without classes. */
  readonly labels: readonly (string | undefined)[];
}

/** What features are written to. Nothing has its final name before `commit`. */
export interface FeaturesWriter {
  append(part: FeaturesPart): void;
  commit(): void;
  /** Removes what was written. Does nothing after `commit`. */
  discard(): void;
}

export interface FeaturesTable {
  readonly width: number;
  /** Whether there are labels. */
  readonly labelled: boolean;
  readonly origin: FeaturesOrigin;
}

/** A file of features, of which a part at a time is in memory. */
export interface FeaturesFile {
  readonly path: string;
  readonly count: number;
  readonly width: number;
  /** Undefined for a file that somebody else made. */
  readonly origin?: Pick<FeaturesOrigin, "checkpoint" | "sha256"> | undefined;
  /** All rows in order. Rejects with one sentence when the file is damaged. */
  parts(): AsyncGenerator<FeaturesPart, void, undefined>;
  close(): void;
}

const originSchema = z.object({ checkpoint: z.string(), sha256: z.string() });

/** What the text says, with the checkpoint's path from here; undefined when it is not ours. */
export function parseOrigin(path: string, text: string | undefined): FeaturesFile["origin"] {
  if (text === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { data } = originSchema.safeParse(json);
  return data && { ...data, checkpoint: resolve(dirname(path), data.checkpoint) };
}

/** Begins a file, without what a killed process may have left of an earlier one. */
export function beginFile(path: string): AtomicFile {
  removeLeftovers(dirname(path), basename(path));
  return createFileAtomic(path);
}

/** Bytes `start` to `end` of an open file. Throws when it has become shorter. */
export function readBytes(file: number, start: number, end: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(end - start);
  for (let done = 0; done < bytes.length;) {
    const count = readSync(file, bytes, done, bytes.length - done, start + done);
    if (count === 0) throw new Error(`it ends after byte ${start + done}`);
    done += count;
  }
  return bytes;
}
