/**
 * Reading safetensors files of any size: the header first, then each tensor by positioned reads.
 * Node reads no file above 2 GiB in one piece, and a checkpoint need not stand in memory twice.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { z } from "zod";
import { allocate, bytesOf, type DType } from "../tensor/dtype.ts";
import type { TensorFile } from "../tensor/safetensors.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

interface Entry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
  /** Byte offsets in the data section, which begins after the header. */
  readonly start: number;
  readonly end: number;
}

interface Header {
  readonly metadata: Readonly<Record<string, string>>;
  /** In file order, without gaps. */
  readonly entries: readonly Entry[];
  /** Byte at which the data section begins. */
  readonly dataStart: number;
}

/** A file's content together with the sha256 (hexadecimal) of its data section, tensors left out by `only` included. */
export interface HashedTensorFile extends TensorFile {
  readonly sha256: string;
}

/**
 * Reads and hashes a file, keeping the tensors whose name passes `only` (default: all).
 * Throws one sentence that starts with the path when the file is truncated or not valid.
 */
export function readTensorFile(path: string, only: (name: string) => boolean = () => true): HashedTensorFile {
  const file = openSync(path, "r");
  try {
    const { metadata, entries, dataStart } = readHeader(file, path);
    const hash = createHash("sha256");
    const chunk = new Uint8Array(chunkBytes);
    const tensors = new Map<string, Tensor>();
    for (const { name, dtype, shape, start, end } of entries) {
      const data = only(name) ? allocate(dtype, sizeOf(shape)) : undefined;
      for (let at = start; at < end; at += chunkBytes) {
        const length = Math.min(chunkBytes, end - at);
        const target = data === undefined ? chunk : new Uint8Array(data.buffer, at - start, length);
        readExactly(file, target, length, dataStart + at, path);
        hash.update(target.subarray(0, length));
      }
      if (data !== undefined) tensors.set(name, tensor(dtype, shape, data));
    }
    return { metadata, tensors, sha256: hash.digest("hex") };
  } finally {
    closeSync(file);
  }
}

/** Bytes per read and per hash update. */
const chunkBytes = 2 ** 22;

/** The format's own limit; a larger number is a damaged length field. */
const largestHeader = 100_000_000;

const dtypes = { F32: "float32", F64: "float64", I64: "int64", I32: "int32", BOOL: "bool" } as const;

const wholeNumber = z.int().nonnegative();
const headerSchema = z.object({ __metadata__: z.record(z.string(), z.string()).optional() }).catchall(
  z.object({
    dtype: z.enum(["F32", "F64", "I64", "I32", "BOOL"]),
    shape: z.array(wholeNumber),
    data_offsets: z.tuple([wholeNumber, wholeNumber]),
  }),
);

function readHeader(file: number, path: string): Header {
  const fail = (why: string) => new Error(`${path} is not a valid safetensors file: ${why}`);
  const { size } = fstatSync(file);
  if (size < 8) throw fail(`it has ${size} bytes, fewer than its header's length field`);
  const lengthField = new Uint8Array(8);
  readExactly(file, lengthField, 8, 0, path);
  const length = Number(new DataView(lengthField.buffer).getBigUint64(0, true));
  if (length > Math.min(size - 8, largestHeader)) throw fail(`its header says ${length} bytes, the file has ${size}`);
  const bytes = new Uint8Array(length);
  readExactly(file, bytes, length, 8, path);

  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw fail("its header is not JSON");
  }
  const header = headerSchema.safeParse(json);
  if (!header.success) {
    const { path: where, message } = header.error.issues[0]!;
    throw fail(`its header is wrong at ${where.join(".")}: ${message}`);
  }
  const { __metadata__: metadata = {}, ...tensors } = header.data;
  const entries = Object.entries(tensors)
    .map(
      ([
        name,
        {
          dtype: formatName,
          shape,
          data_offsets: [start, end],
        },
      ]): Entry => {
        const dtype = dtypes[formatName];
        if (end - start !== sizeOf(shape) * bytesOf(dtype))
          throw fail(`the shape and size of tensor ${name} do not agree`);
        return { name, dtype, shape, start, end };
      },
    )
    .sort((a, b) => a.start - b.start || a.end - b.end);

  let expected = 0;
  for (const { name, start, end } of entries) {
    if (start !== expected) throw fail(`tensor ${name} begins at data byte ${start}, not at ${expected}`);
    expected = end;
  }
  const whole = 8 + length + expected;
  if (size !== whole) throw fail(`it should have ${whole} bytes, but has ${size}`);
  return { metadata, entries, dataStart: 8 + length };
}

/** Fills `target` with the `length` bytes from `position` on. */
export function readExactly(file: number, target: Uint8Array, length: number, position: number, path: string): void {
  for (let done = 0; done < length;) {
    const count = readSync(file, target, done, length - done, position + done);
    if (count === 0) throw new Error(`${path} ends after byte ${position + done}: it was cut while being read`);
    done += count;
  }
}
