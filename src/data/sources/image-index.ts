/**
 * The index of a data set: what is known of each image without opening it. It is built once, kept on disk (see
 * `cachedIndex`) and lies in shared memory, so that worker threads read the same bytes as the main thread and an image's
 * path is held once, whatever the number of workers.
 */
import type { BigIntStats } from "node:fs";
import { stat } from "node:fs/promises";
import { decodedName } from "../formats/names.ts";
import { type Split, splitNames } from "../source.ts";

/** One number per image, in shared memory, in the narrowest of these types that holds them all. */
export type Column =
  | Uint8Array<SharedArrayBuffer>
  | Uint32Array<SharedArrayBuffer>
  | Int32Array<SharedArrayBuffer>
  | Float64Array<SharedArrayBuffer>;

const columnTypes = { Uint8Array, Uint32Array, Int32Array, Float64Array };
export type ColumnType = keyof typeof columnTypes;

/** `length` numbers from byte `at` of a buffer. */
export function columnAt(type: ColumnType, buffer: SharedArrayBuffer, at: number, length: number): Column {
  if (type === "Uint8Array") return new Uint8Array(buffer, at, length);
  if (type === "Uint32Array") return new Uint32Array(buffer, at, length);
  if (type === "Int32Array") return new Int32Array(buffer, at, length);
  return new Float64Array(buffer, at, length);
}

export interface ImageIndex {
  readonly length: number;
  /** Names of the images, one after another, as the bytes that the file system or the archive has. */
  readonly names: Column;
  /** Where each name ends in `names`; it begins where the one before ends. */
  readonly ends: Column;
  /** Index into `classes`, or -1. Absent when there are no classes. */
  readonly labels?: Column;
  /** Index into `splitNames`. Absent when the data set says nothing of splits. */
  readonly splits?: Column;
  /** Where an image lies, for kinds that need more than its name: `file` (index into `files`), `offset`, `size`. */
  readonly places: Readonly<Record<string, Column>>;
  /** See Source.blocks. */
  readonly blocks?: Column;
  readonly classes: readonly string[];
  /** See Source.notes. */
  readonly notes: readonly string[];
  /** Files that were passed over, by their endings in lower case. */
  readonly passed: ReadonlyMap<string, number>;
  /** Files that the images lie in: absolute paths of archives. */
  readonly files: readonly string[];
  /** What the index was made from. It holds as long as none of these files and folders changes. */
  readonly dependencies: readonly Stamp[];
}

/** The state of a file or folder, to see whether it changes. */
export interface Stamp {
  /** Its bytes as Latin-1, because a path need not be UTF-8. */
  readonly path: string;
  /** Size and times of last change, in nanoseconds; `none` when there is no such file. */
  readonly state: string;
}

/** Take it before reading: then a change while the file is read is a change. A folder changes when its entries do. */
export async function stampOf(path: string | Uint8Array): Promise<Stamp> {
  const bytes = Buffer.from(path);
  return stampFrom(bytes, await stat(bytes, { bigint: true }).catch(() => undefined));
}

export function stampFrom(path: Buffer, stats: BigIntStats | undefined): Stamp {
  const state = stats === undefined ? "none" : `${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}`;
  return { path: path.toString("latin1"), state };
}

/** Whether the file or folder is still as it was. */
export async function isSame({ path, state }: Stamp): Promise<boolean> {
  return (await stampOf(Buffer.from(path, "latin1"))).state === state;
}

/** What an index says beside names and places. */
export interface IndexFacts {
  readonly classes?: readonly string[];
  readonly labelOf?: (i: number) => number;
  readonly splitOf?: ((i: number) => Split) | undefined;
  readonly notes?: readonly string[];
  readonly passed?: ReadonlyMap<string, number>;
  readonly files?: readonly string[];
  readonly blocks?: ArrayLike<number>;
  readonly dependencies: readonly Stamp[];
}

/** Collects images one by one. */
export class IndexBuilder<Place extends string = never> {
  readonly #names = new Growing(Uint8Array);
  readonly #ends = new Growing(Float64Array);
  readonly #places: Readonly<Record<Place, Growing<Float64Array<ArrayBuffer>>>>;

  /** `places`: the numbers, whole and not negative, that every image comes with. */
  constructor(...places: readonly Place[]) {
    const columns = places.map((name) => [name, new Growing(Float64Array)]);
    this.#places = Object.fromEntries(columns) as Record<Place, Growing<Float64Array<ArrayBuffer>>>;
  }

  get length(): number {
    return this.#ends.length;
  }

  add(name: string | Uint8Array, place: Readonly<Record<Place, number>>): void {
    this.#names.append(typeof name === "string" ? Buffer.from(name) : name);
    this.#ends.push(this.#names.length);
    for (const column of Object.keys(this.#places) as Place[]) this.#places[column].push(place[column]);
  }

  /** Name `i` as text; see decodedName. */
  name(i: number): string {
    return decodedName(this.bytes(i));
  }

  /** Name `i`; not a copy. */
  bytes(i: number): Buffer {
    const { data } = this.#ends;
    return Buffer.from(this.#names.data.buffer).subarray(i === 0 ? 0 : data[i - 1], data[i]);
  }

  /** The number `name` of image `i`. */
  place(name: Place, i: number): number {
    return this.#places[name].data[i]!;
  }

  finish({ classes = [], labelOf, splitOf, files = [], blocks, ...rest }: IndexFacts): ImageIndex {
    const { length } = this;
    const places = Object.entries<Growing<Float64Array<ArrayBuffer>>>(this.#places);
    const count = { length };
    return {
      length,
      names: shared(this.#names.values()),
      ends: shared(this.#ends.values()),
      ...(labelOf === undefined || classes.length === 0
        ? {}
        : { labels: shared(Int32Array.from(count, (_, i) => labelOf(i))) }),
      ...(splitOf === undefined
        ? {}
        : { splits: shared(Uint8Array.from(count, (_, i) => splitNames.indexOf(splitOf(i)))) }),
      places: Object.fromEntries(places.map(([name, column]) => [name, shared(column.values())])),
      ...(blocks === undefined ? {} : { blocks: shared(Float64Array.from(blocks)) }),
      classes,
      notes: [],
      passed: new Map(),
      files,
      ...rest,
    };
  }
}

/** The bytes of name `i`; not a copy. */
export function nameOf({ names, ends }: ImageIndex, i: number): Buffer {
  const start = i === 0 ? 0 : ends[i - 1]!;
  return Buffer.from(names.buffer, names.byteOffset + start, ends[i]! - start);
}

/** Name `i` as text: what is not UTF-8 in it is shown as �. */
export function idOf(index: ImageIndex, i: number): string {
  return nameOf(index, i).toString();
}

/** Bytes that the columns take. */
export function bytesOf({ names, ends, labels, splits, places, blocks }: ImageIndex): number {
  const columns = [names, ends, labels, splits, blocks, ...Object.values(places)];
  return columns.reduce((sum, column) => sum + (column?.byteLength ?? 0), 0);
}

/** A typed array that grows. */
class Growing<T extends Uint8Array<ArrayBuffer> | Float64Array<ArrayBuffer>> {
  data: T;
  length = 0;
  readonly #make: new (length: number) => T;

  constructor(make: new (length: number) => T) {
    this.#make = make;
    this.data = new make(1024);
  }

  push(value: number): void {
    this.#reserve(1);
    this.data[this.length++] = value;
  }

  append(values: ArrayLike<number>): void {
    this.#reserve(values.length);
    this.data.set(values, this.length);
    this.length += values.length;
  }

  values(): T {
    return this.data.subarray(0, this.length) as T;
  }

  #reserve(more: number): void {
    if (this.length + more <= this.data.length) return;
    const grown = new this.#make(Math.max(this.length + more, 2 * this.data.length));
    grown.set(this.data);
    this.data = grown;
  }
}

/** A copy of `values` in shared memory, in the narrowest type. */
function shared(values: Uint8Array | Int32Array | Float64Array): Column {
  const type =
    values instanceof Float64Array ? narrowest(values) : values instanceof Int32Array ? "Int32Array" : "Uint8Array";
  const bytes = values.length * columnTypes[type].BYTES_PER_ELEMENT;
  const column = columnAt(type, new SharedArrayBuffer(bytes), 0, values.length);
  column.set(values);
  return column;
}

function narrowest(values: Float64Array): ColumnType {
  const most = values.reduce((max, value) => Math.max(max, value), 0);
  return most < 2 ** 8 ? "Uint8Array" : most < 2 ** 32 ? "Uint32Array" : "Float64Array";
}
