/** The rows of a file of features that are most similar to one. */
import type { DeviceOptions } from "../backend/device.ts";
import { openFiles } from "../data/sources/files.ts";
import { checkpointFile, checkpointSetup, loadEncoder } from "../evaluators/encoder.ts";
import type { FeaturesFile } from "./features.ts";
import { shown } from "../tensor/text.ts";

export interface SearchResult {
  /** Its place in the file, from 0. */
  readonly row: number;
  readonly name: string;
  readonly label?: string;
  /** Cosine. */
  readonly similarity: number;
}

/**
 * The `count` most similar rows, most similar first; of equal ones the first in the file. One part at a time is read. Rows
 * without a feature, or with numbers that are none, are left out: `onMissing` hears of each.
 */
export async function nearest(
  file: FeaturesFile,
  query: Float32Array,
  count: number,
  onMissing?: (name: string) => void,
): Promise<SearchResult[]> {
  const { width } = file;
  if (query.length !== width)
    throw new Error(`the rows of ${file.path} have ${width} numbers, but ${query.length} are looked for`);
  const length = lengthOf(query);
  const found: SearchResult[] = [];
  let first = 0;
  for await (const { rows, names, labels } of file.parts()) {
    for (const [i, name] of names.entries()) {
      const row = rows.subarray(i * width, (i + 1) * width);
      let dot = 0;
      let squares = 0;
      for (let j = 0; j < width; j++) {
        dot += row[j]! * query[j]!;
        squares += row[j]! ** 2;
      }
      const similarity = dot / Math.max(length * Math.sqrt(squares), 1e-12);
      const isFull = found.length === count;
      if (Number.isNaN(similarity)) onMissing?.(name);
      if (!(isFull ? similarity > found[count - 1]!.similarity : !Number.isNaN(similarity))) continue;
      if (isFull) found.pop();
      const label = labels[i];
      const place = found.findLastIndex((each) => each.similarity >= similarity) + 1;
      found.splice(place, 0, { row: first + i, name, similarity, ...(label === undefined ? {} : { label }) });
    }
    first += names.length;
  }
  return found;
}

function lengthOf(row: Float32Array): number {
  return Math.sqrt(row.reduce((sum, each) => sum + each ** 2, 0));
}

/** The first row of this name and its place. Throws when there is none. */
export async function rowNamed(file: FeaturesFile, name: string): Promise<{ row: number; feature: Float32Array }> {
  let first = 0;
  for await (const { rows, names } of file.parts()) {
    const at = names.indexOf(name);
    if (at !== -1) {
      const feature = rows.slice(at * file.width, (at + 1) * file.width);
      if (feature.some(Number.isNaN))
        throw new Error(`row ${first + at} of ${file.path}, ${shown(name)}, has no feature`);
      return { row: first + at, feature };
    }
    first += names.length;
  }
  throw new Error(`${file.path} has no row ${name} among its ${file.count}`);
}

export interface QueryOptions extends DeviceOptions {
  /** Run folder or checkpoint; default: the checkpoint that the file of features names. */
  readonly encoder?: string | undefined;
  readonly stage?: string | undefined;
}

/** Features of an image file by the encoder that made `file`. Throws when that is not at hand, or another one is given. */
export async function featureOf(
  image: string,
  { path, origin }: FeaturesFile,
  { encoder: given, stage, device, threads }: QueryOptions = {},
): Promise<Float32Array> {
  const from = given ?? origin?.checkpoint;
  if (from === undefined) throw new Error(`${path} does not say which encoder made it; name it (--encoder)`);
  let checkpoint: string;
  try {
    checkpoint = checkpointFile(from, stage);
  } catch (error) {
    if (given !== undefined) throw error;
    throw new Error(`${path} was made by ${from}, which is not there; name the encoder (--encoder)`, { cause: error });
  }
  const { sha256 } = checkpointSetup(checkpoint);
  if (origin !== undefined && origin.sha256 !== sha256)
    throw new Error(
      `${checkpoint} is not the encoder that made ${path}: its sha256 is ${sha256.slice(0, 12)}…, ` +
        `expected ${origin.sha256.slice(0, 12)}…; name the right one (--encoder), or embed the images again`,
    );
  const encoder = await loadEncoder(checkpoint, { batch: 1, device, threads });
  try {
    const { rows, unreadable = [] } = await encoder.features(openFiles([image]));
    if (unreadable.length > 0) throw new Error(unreadable[0]!.reason);
    return rows;
  } finally {
    await encoder.release();
  }
}
