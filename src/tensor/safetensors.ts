/**
 * The safetensors file format (huggingface/safetensors): the only tensor file format that the project writes.
 * 16-bit floats become float32. Other types that we do not compute with may stand in a file, but cannot be read.
 */
import { z } from "zod";
import { allocate, bytesOf, type DType } from "./dtype.ts";
import { fromBfloat16, fromFloat16 } from "./half.ts";
import { type Shape, sizeOf } from "./shape.ts";
import { type Tensor, tensor } from "./tensor.ts";
import { shown } from "./text.ts";

/** Named tensors and string metadata, as one file holds them. */
export interface TensorFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** The element types of the project, as the format calls them. */
const formatNames = { float32: "F32", float64: "F64", int64: "I64", int32: "I32", bool: "BOOL" } as const;
const dtypes = new Map<string, DType>(Object.entries(formatNames).map(([dtype, name]) => [name, dtype as DType]));

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

/** A tensor in a file. */
export interface Entry {
  readonly name: string;
  readonly format: Format;
  readonly shape: Shape;
  /** Byte offsets in the data section, which begins after the header. */
  readonly start: number;
  readonly end: number;
}

export interface Header {
  readonly metadata: Readonly<Record<string, string>>;
  /** In file order, without gaps. */
  readonly entries: readonly Entry[];
  /** Byte at which the data section begins. */
  readonly dataStart: number;
}

const wholeNumber = z.int().nonnegative();
const headerSchema = z.object({ __metadata__: z.record(z.string(), z.string()).optional() }).catchall(
  z.object({
    dtype: z.enum(Object.keys(formats) as Format[]),
    shape: z.array(wholeNumber),
    data_offsets: z.tuple([wholeNumber, wholeNumber]),
  }),
);

/** The format's own limit; a larger number is a damaged length field. */
const largestHeader = 100_000_000;

/**
 * The pieces of a file in writing order: first the header, then each tensor's bytes (views, not copies).
 * Tensors are laid out in the map's order, each aligned to its element size because wider types come first.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const ordered = [...tensors].sort(([, a], [, b]) => bytesOf(b.dtype) - bytesOf(a.dtype));
  const header: Record<string, object> = {};
  if (Object.keys(metadata).length > 0) header["__metadata__"] = { ...metadata };
  const bodies: Uint8Array[] = [];
  let offset = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    header[name] = { dtype: formatNames[dtype], shape: [...shape], data_offsets: [offset, offset + data.byteLength] };
    bodies.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    offset += data.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil((8 + json.length) / 8) * 8;
  const head = new Uint8Array(padded).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(padded - 8), true);
  head.set(json, 8);
  return [head, ...bodies];
}

/**
 * Reads and checks the header of a file of `size` bytes; `read` gives the bytes at a position.
 * Throws one sentence that starts with `source` when the file is truncated or not valid.
 */
export function readHeader(
  source: string,
  size: number,
  read: (position: number, length: number) => Uint8Array,
): Header {
  const fail = (why: string) => new Error(`${source} is not a valid safetensors file: ${why}`);
  if (size < 8) throw fail(`it has ${size} bytes, fewer than its header's length field`);
  const field = read(0, 8);
  const length = Number(new DataView(field.buffer, field.byteOffset).getBigUint64(0, true));
  // a zip archive or a pickle, as torch.save writes them
  if ((field[0] === 0x50 && field[1] === 0x4b) || (field[0] === 0x80 && length > size))
    throw new Error(`${source} was written by PyTorch; make a checkpoint of it first: layergraft import ${source}`);
  if (length > Math.min(size - 8, largestHeader)) throw fail(`its header says ${length} bytes, the file has ${size}`);

  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(read(8, length)));
  } catch {
    throw fail("its header is not JSON");
  }
  const header = headerSchema.safeParse(json);
  if (!header.success) {
    const { path, message } = header.error.issues[0]!;
    const where = path.length === 0 ? "" : ` at ${shown(path.map(String).join("."))}`;
    throw fail(`its header is wrong${where}: ${message}`);
  }
  const { __metadata__: metadata = {}, ...tensors } = header.data;
  const entries = Object.entries(tensors)
    .map(([name, { dtype: format, shape, data_offsets: offsets }]): Entry => {
      const [start, end] = offsets;
      if (end - start !== sizeOf(shape) * formats[format])
        throw fail(`the shape and size of tensor ${shown(name)} do not agree`);
      return { name, format, shape, start, end };
    })
    .sort((a, b) => a.start - b.start || a.end - b.end);

  let expected = 0;
  for (const { name, start, end } of entries) {
    if (start !== expected) throw fail(`tensor ${shown(name)} begins at data byte ${start}, not at ${expected}`);
    expected = end;
  }
  const whole = 8 + length + expected;
  if (size !== whole) throw fail(`it should have ${whole} bytes, but has ${size}`);
  return { metadata, entries, dataStart: 8 + length };
}

/** The tensor of an entry whose bytes are `data`. Throws when its type has no place in the project. */
export function toTensor({ name, format, shape }: Entry, data: ArrayBuffer, source: string): Tensor {
  if (format === "F16") return tensor("float32", shape, fromFloat16(new Uint16Array(data)));
  if (format === "BF16") return tensor("float32", shape, fromBfloat16(new Uint16Array(data)));
  const dtype = dtypes.get(format);
  if (dtype === undefined)
    throw new Error(
      `${source}: tensor ${shown(name)} has the type ${format}; supported: ${[...dtypes.keys()].join(", ")}, F16, BF16`,
    );
  return tensor(dtype, shape, allocate(dtype, sizeOf(shape), data));
}

/**
 * Reads a whole file. Tensor data are copies, aligned and independent of `bytes`.
 * Throws one sentence that starts with `source` when the file is not valid or holds an element type not supported.
 */
export function decodeSafetensors(bytes: Uint8Array, source = "safetensors file"): TensorFile {
  const read = (position: number, length: number) => Uint8Array.from(bytes.subarray(position, position + length));
  const { metadata, entries, dataStart } = readHeader(source, bytes.length, read);
  const tensors = entries.map((entry): [string, Tensor] => {
    const data = read(dataStart + entry.start, entry.end - entry.start);
    return [entry.name, toTensor(entry, data.buffer, source)];
  });
  return { metadata, tensors: new Map(tensors) };
}
