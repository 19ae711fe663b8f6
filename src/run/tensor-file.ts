/**
 * Reading safetensors files of any size: the header first, then each tensor by positioned reads.
 * Node reads no file above 2 GiB in one piece, and a checkpoint need not stand in memory twice.
 * 16-bit floats become float32. Other types that we do not compute with may stand in a file, but cannot be read.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { z } from "zod";
import { allocate, type DType } from "../tensor/dtype.ts";
import { fromBfloat16, fromFloat16 } from "../tensor/half.ts";
import type { TensorFile } from "../tensor/safetensors.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

interface Entry {
  readonly name: string;
  readonly format: Format;
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
    const { metadata, entries, dataStart } = readHeader(file, path);
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
    const { metadata, entries, dataStart } = readHeader(file, path);
    const hash = createHash("sha256");
    const chunk = new Uint8Array(chunkBytes);
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

function toTensor({ name, format, shape }: Entry, data: ArrayBuffer, path: string): Tensor {
  if (format === "F16") return tensor("float32", shape, fromFloat16(new Uint16Array(data)));
  if (format === "BF16") return tensor("float32", shape, fromBfloat16(new Uint16Array(data)));
  const dtype = dtypes[format];
  if (dtype === undefined)
    throw new Error(
      `${path}: tensor ${name} has the type ${format}; supported: ${Object.keys(dtypes).join(", ")}, F16, BF16`,
    );
  return tensor(dtype, shape, allocate(dtype, sizeOf(shape), data));
}

/** Bytes per read and per hash update. */
const chunkBytes = 2 ** 22;

/** The format's own limit; a larger number is a damaged length field. */
const largestHeader = 100_000_000;

/** Bytes of an element of every type that the format has in ordinary files. */
const formats = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  BOOL: 1,
  I8: 1,
  U8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
};
type Format = keyof typeof formats;
const dtypes: Partial<Record<Format, DType>> = {
  F32: "float32",
  F64: "float64",
  I64: "int64",
  I32: "int32",
  BOOL: "bool",
};

const wholeNumber = z.int().nonnegative();
const headerSchema = z.object({ __metadata__: z.record(z.string(), z.string()).optional() }).catchall(
  z.object({
    dtype: z.enum(Object.keys(formats) as Format[]),
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
  // a zip archive or a pickle, as torch.save writes them
  if ((lengthField[0] === 0x50 && lengthField[1] === 0x4b) || (lengthField[0] === 0x80 && length > size))
    throw new Error(`${path} was written by PyTorch; make a checkpoint of it first: layergraft import ${path}`);
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
          dtype: format,
          shape,
          data_offsets: [start, end],
        },
      ]): Entry => {
        if (end - start !== sizeOf(shape) * formats[format])
          throw fail(`the shape and size of tensor ${name} do not agree`);
        return { name, format, shape, start, end };
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

export function readExactly(file: number, target: Uint8Array, length: number, position: number, path: string): void {
  for (let done = 0; done < length;) {
    const count = readSync(file, target, done, length - done, position + done);
    if (count === 0) throw new Error(`${path} ends after byte ${position + done}: it was cut while being read`);
    done += count;
  }
}
