/** Indexes kept from call to call, in memory and in the user's cache folder, as long as what they describe is the same. */
import { createHash } from "node:crypto";
import { open, readdir, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder, writeCached } from "../cache-folder.ts";
import { inParallel } from "../in-parallel.ts";
import { type Column, columnAt, type ColumnType, type ImageIndex, isSame, type Stamp } from "./image-index.ts";

/** Smaller data sets are listed anew each time: that takes less than a second, and leaves nothing behind. */
const leastCached = 10_000;

/** What all files together may take; the one that was not used for the longest time goes first. */
const mostFiles = 32;
const mostBytes = 2 * 2 ** 30;

/**
 * A change this soon before an index is built might be followed by another one with the same time, which nobody could
 * see: clocks of file systems tick every few milliseconds. In milliseconds.
 */
const settled = 100;

/** Indexes that somebody uses, so that all sources of one data set share one. */
const inUse = new Map<string, WeakRef<ImageIndex>>();

/** A data set: what tells its index from others, its kind first, and how that is made. */
export interface Indexable {
  readonly key: readonly (string | undefined)[];
  build(): Promise<ImageIndex>;
}

/** The index of a data set: the one made before if it still holds, else a new one. Rejects as `build` does. */
export async function cachedIndex(data: Indexable, least = leastCached): Promise<ImageIndex> {
  const key = JSON.stringify(data.key);
  const known = inUse.get(key)?.deref();
  if (known !== undefined && (await holds(known))) return known;
  const folder = cacheFolder();
  const name = `${data.key[0]}-${createHash("sha256").update(key).digest("hex").slice(0, 32)}.index`;
  const file = folder && join(folder, "indexes", name);
  const read = file && (await readIndex(file, key).catch(() => undefined));
  if (read && (await holds(read))) {
    inUse.set(key, new WeakRef(read));
    return read;
  }
  const start = Date.now();
  const index = await data.build();
  if (index.length < least || isFresh(index, start)) return index;
  inUse.set(key, new WeakRef(index));
  if (file !== undefined && (await writeIndex(file, key, index))) await tidy(join(file, ".."));
  return index;
}

/** Whether nothing has changed since the index was built. */
async function holds({ dependencies }: ImageIndex): Promise<boolean> {
  let same = true;
  await inParallel(dependencies, async (stamp) => {
    if (same && !(await isSame(stamp))) same = false;
  });
  return same;
}

function isFresh({ dependencies }: ImageIndex, start: number): boolean {
  const limit = BigInt(start - settled) * 1_000_000n;
  const timesOf = ({ state }: Stamp) => state.split(" ").slice(1);
  return dependencies.some((stamp) => timesOf(stamp).some((time) => BigInt(time) > limit));
}

/** Another number for another form of the file, and for other rules of what is read from the same images. */
const format = "layergraft index 2\n";
const digestBytes = 32;
const prefixBytes = format.length + digestBytes + 4;

/** Everything but the columns. The columns follow the header, each at a multiple of 8 bytes. */
interface Header {
  readonly key: string;
  readonly length: number;
  readonly classes: readonly string[];
  readonly notes: readonly string[];
  readonly passed: readonly (readonly [ending: string, files: number])[];
  readonly files: readonly string[];
  readonly dependencies: readonly Stamp[];
  readonly columns: readonly { readonly name: string; readonly type: ColumnType; readonly length: number }[];
}

/** Format, SHA-256 of all that follows, length of the header in four bytes, header in JSON, columns. */
function writeIndex(file: string, key: string, index: ImageIndex): Promise<boolean> {
  const { length, classes, notes, passed, files, dependencies, places, names, ends, labels, splits, blocks } = index;
  const columns = Object.entries({ names, ends, labels, splits, blocks, ...prefixed(places) }).flatMap(
    ([name, column]) => (column === undefined ? [] : [{ name, column }]),
  );
  const header: Header = {
    key,
    length,
    classes,
    notes,
    passed: [...passed],
    files,
    dependencies,
    columns: columns.map(({ name, column }) => ({
      name,
      type: column.constructor.name as ColumnType,
      length: column.length,
    })),
  };
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(4);
  size.writeUInt32LE(json.length);
  const pieces: Uint8Array[] = [size, json, padding(prefixBytes + json.length)];
  for (const { column } of columns)
    pieces.push(Buffer.from(column.buffer, column.byteOffset, column.byteLength), padding(column.byteLength));
  const digest = createHash("sha256");
  for (const piece of pieces) digest.update(piece);
  return writeCached(file, [Buffer.from(format), digest.digest(), ...pieces]);
}

/** Undefined or an error when the file is not there, is of another version or data set, or is damaged. */
async function readIndex(file: string, key: string): Promise<ImageIndex | undefined> {
  const handle = await open(file);
  let buffer: SharedArrayBuffer;
  try {
    const prefix = Buffer.alloc(format.length);
    await handle.read(prefix, 0, format.length, 0);
    if (prefix.toString() !== format) return undefined;
    buffer = new SharedArrayBuffer((await handle.stat()).size);
    const all = new Uint8Array(buffer);
    for (let at = 0; at < all.length;) {
      const { bytesRead } = await handle.read(all, at, Math.min(all.length - at, 2 ** 30), at);
      if (bytesRead === 0) return undefined;
      at += bytesRead;
    }
  } finally {
    await handle.close();
  }
  const bytes = Buffer.from(buffer);
  const start = format.length + digestBytes;
  const digest = createHash("sha256").update(bytes.subarray(start)).digest();
  if (!digest.equals(bytes.subarray(format.length, start))) return undefined;
  const jsonBytes = bytes.readUInt32LE(start);
  const header = JSON.parse(bytes.toString("utf8", prefixBytes, prefixBytes + jsonBytes)) as Header;
  if (header.key !== key) return undefined;
  const columns: Record<string, Column> = {};
  const places: Record<string, Column> = {};
  let at = aligned(prefixBytes + jsonBytes);
  for (const { name, type, length } of header.columns) {
    const column = columnAt(type, buffer, at, length);
    at += aligned(column.byteLength);
    if (name.startsWith(placePrefix)) places[name.slice(placePrefix.length)] = column;
    else columns[name] = column;
  }
  const { names, ends, ...optional } = columns;
  const now = new Date();
  await utimes(file, now, now).catch(() => undefined); // used: see tidy
  const { length, classes, notes, passed, files, dependencies } = header;
  const facts = { classes, notes, passed: new Map(passed), files, dependencies };
  return { length, names: names!, ends: ends!, ...optional, places, ...facts };
}

const placePrefix = "places.";

function prefixed(places: ImageIndex["places"]): Record<string, Column> {
  return Object.fromEntries(Object.entries(places).map(([name, column]) => [`${placePrefix}${name}`, column]));
}

const aligned = (bytes: number) => Math.ceil(bytes / 8) * 8;
const padding = (bytes: number) => new Uint8Array(aligned(bytes) - bytes);

/** Removes indexes that are too many, and what writers left that were killed a day ago. */
async function tidy(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  const found = await Promise.all(
    names.map(async (name) => ({
      file: join(folder, name),
      stats: await stat(join(folder, name)).catch(() => undefined),
    })),
  );
  const newestFirst = found
    .flatMap(({ file, stats }) => (stats === undefined ? [] : [{ file, size: stats.size, time: stats.mtimeMs }]))
    .sort((a, b) => b.time - a.time);
  let [files, bytes] = [0, 0];
  for (const { file, size, time } of newestFirst) {
    const isLeftover = file.endsWith(".tmp") && Date.now() - time > 86_400_000;
    if (file.endsWith(".index")) [files, bytes] = [files + 1, bytes + size];
    else if (!isLeftover) continue;
    const isTooMuch = files > mostFiles || (bytes > mostBytes && files > 1);
    if (isLeftover || isTooMuch) await rm(file, { force: true }).catch(() => undefined);
  }
}
