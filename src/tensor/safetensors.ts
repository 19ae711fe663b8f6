/** The safetensors file format (huggingface/safetensors): the only tensor file format of the project. */
import type { DType } from "./dtype.ts";
import { allocate, bytesOf } from "./dtype.ts";
import { type Shape, show, sizeOf } from "./shape.ts";
import { type Tensor, tensor } from "./tensor.ts";

/** Named tensors and string metadata, as one file holds them. */
export interface TensorFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

const formatNames = { float32: "F32", float64: "F64", int64: "I64", int32: "I32", bool: "BOOL" } as const;
const dtypes = new Map<string, DType>(Object.entries(formatNames).map(([dtype, name]) => [name, dtype as DType]));

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/**
 * The pieces of a file in writing order: first the header, then each tensor's bytes (views, not copies).
 * Tensors are laid out in the map's order, each aligned to its element size because wider types come first.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const ordered = [...tensors].sort(([, a], [, b]) => bytesOf(b.dtype) - bytesOf(a.dtype));
  const header: Record<string, Entry | Record<string, string>> = {};
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
 * Reads a whole file. Tensor data are copies, aligned and independent of `bytes`.
 * Throws one sentence that starts with `source` when the file is not valid or holds an element type not supported.
 */
export function decodeSafetensors(bytes: Uint8Array, source = "safetensors file"): TensorFile {
  const fail = (why: string) => new Error(`${source} is not a valid safetensors file: ${why}`);
  if (bytes.length < 8) throw fail(`it has ${bytes.length} bytes, fewer than its header's length field`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerLength = Number(view.getBigUint64(0, true));
  if (headerLength > bytes.length - 8)
    throw fail(`its header says ${headerLength} bytes, but only ${bytes.length - 8} follow`);
  const header = parseObject(new TextDecoder().decode(bytes.subarray(8, 8 + headerLength)));
  if (header === undefined) throw fail("its header is not a JSON object");
  const tensors = new Map<string, Tensor>();
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype: formatName, shape, data_offsets: offsets } = (value ?? {}) as Partial<Entry>;
    const dtype = dtypes.get(formatName ?? "");
    if (dtype === undefined)
      throw fail(`tensor ${name} has type ${formatName}; supported: ${[...dtypes.keys()].join(", ")}`);
    if (!isShape(shape) || offsets === undefined || offsets[1] - offsets[0] !== sizeOf(shape) * bytesOf(dtype))
      throw fail(`the shape and size of tensor ${name} do not agree`);
    const start = 8 + headerLength + offsets[0];
    const end = 8 + headerLength + offsets[1];
    if (!(offsets[0] >= 0 && end <= bytes.length))
      throw fail(
        `tensor ${name} ${show(shape)} ends at byte ${end}, after the end of the file (${bytes.length} bytes)`,
      );
    const data = allocate(dtype, sizeOf(shape));
    new Uint8Array(data.buffer, data.byteOffset, data.byteLength).set(bytes.subarray(start, end));
    tensors.set(name, tensor(dtype, shape, data));
  }
  return { metadata: (header["__metadata__"] ?? {}) as Record<string, string>, tensors };
}

function parseObject(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function isShape(value: unknown): value is Shape {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
}
