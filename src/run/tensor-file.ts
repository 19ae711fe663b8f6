/**
 * Reading safetensors files of any size: the header first, then each tensor by positioned reads.
 * Node reads no file above 2 GiB in one piece, and a checkpoint need not stand in memory twice.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { type Entry, type Header, readHeader, type TensorFile, toTensor } from "../tensor/safetensors.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A file's content together with the sha256 (hexadecimal) of its data section, tensors left out by `only` included. */
export interface HashedTensorFile extends TensorFile {
  readonly sha256: string;
}

/** A tensor of a file that is open; its data are read when asked for. */
export interface LazyTensor {
  /** The element type in the file, as the file calls it. */
  readonly dtype: string;
  readonly shape: Shape;
  read(): Tensor;
}

/** An open file. */
export interface OpenTensorFile {
  readonly metadata: Readonly<Record<string, string>>;
  /** In file order. */
  readonly tensors: ReadonlyMap<string, LazyTensor>;
  close(): void;
}

/** Opens a file to read some of its tensors. Throws one sentence that starts with the path when it is truncated or not valid. */
export function openTensorFile(path: string): OpenTensorFile {
  const file = openSync(path, "r");
  try {
    const { metadata, entries, dataStart } = headerOf(file, path);
    const lazy = (entry: Entry): LazyTensor => ({
      dtype: entry.format,
      shape: entry.shape,
      read: () => toTensor(entry, readRaw(file, entry, dataStart, path), path),
    });
    return {
      metadata,
      tensors: new Map(entries.map((entry) => [entry.name, lazy(entry)])),
      close: () => closeSync(file),
    };
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

/**
 * Reads and hashes a file, keeping the tensors whose name passes `only` (default: all).
 * Throws one sentence that starts with the path when the file is truncated or not valid.
 */
export function readTensorFile(path: string, only: (name: string) => boolean = () => true): HashedTensorFile {
  const file = openSync(path, "r");
  try {
    const { metadata, entries, dataStart } = headerOf(file, path);
    const hash = createHash("sha256");
    const chunk = new Uint8Array(Math.min(chunkBytes, entries.at(-1)?.end ?? 0));
    const tensors = new Map<string, Tensor>();
    for (const entry of entries) {
      const { name, start, end } = entry;
      const onBytes = (bytes: Uint8Array) => hash.update(bytes);
      if (only(name)) tensors.set(name, toTensor(entry, readRaw(file, entry, dataStart, path, onBytes), path));
      else
        for (let at = start; at < end; at += chunkBytes) {
          const length = Math.min(chunkBytes, end - at);
          readExactly(file, chunk, length, dataStart + at, path);
          hash.update(chunk.subarray(0, length));
        }
    }
    return { metadata, tensors, sha256: hash.digest("hex") };
  } finally {
    closeSync(file);
  }
}

/** The bytes of one tensor. */
function readRaw(
  file: number,
  { start, end }: Entry,
  dataStart: number,
  path: string,
  onBytes?: (bytes: Uint8Array) => void,
): ArrayBuffer {
  const data = new ArrayBuffer(end - start);
  for (let at = start; at < end; at += chunkBytes) {
    const target = new Uint8Array(data, at - start, Math.min(chunkBytes, end - at));
    readExactly(file, target, target.length, dataStart + at, path);
    onBytes?.(target);
  }
  return data;
}

/** Bytes per read and per hash update. */
const chunkBytes = 2 ** 22;

function headerOf(file: number, path: string): Header {
  const { size } = fstatSync(file);
  return readHeader(path, size, (position, length) => {
    const bytes = new Uint8Array(length);
    readExactly(file, bytes, length, position, path);
    return bytes;
  });
}

export function readExactly(file: number, target: Uint8Array, length: number, position: number, path: string): void {
  for (let done = 0; done < length;) {
    const count = readSync(file, target, done, length - done, position + done);
    if (count === 0) throw new Error(`${path} ends after byte ${position + done}: it was cut while being read`);
    done += count;
  }
}
