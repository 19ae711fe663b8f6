/** The header of NumPy's .npy files: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */

const magic = "\x93NUMPY";

/** Bytes of the headers that are written, whatever the count: it can be put in when it is known. */
export const npyHeaderBytes = 128;

/** Header of a float32 table [rows, width], C order. */
export function encodeNpyHeader(rows: number, width: number): Uint8Array {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${width}), }`;
  const bytes = Buffer.from(`${magic}\x01\x00\x00\x00${text.padEnd(npyHeaderBytes - 11)}\n`, "latin1");
  bytes.writeUInt16LE(npyHeaderBytes - 10, 8);
  return bytes;
}

export type NpyType = keyof typeof bytesOfNpy;

/** Element types that are read: floats of the usual byte order. */
export const bytesOfNpy = { "<f2": 2, "<f4": 4, "<f8": 8 } as const;

export interface NpyTable {
  readonly type: NpyType;
  readonly rows: number;
  readonly width: number;
  /** Byte at which the numbers begin. */
  readonly start: number;
}

/** Longest header that is looked at: one of a plain table has some hundred bytes. */
const longestHeader = 65_536;

/** What the first bytes of a file of `size` bytes say. Throws half a sentence, to go after the file's name. */
export function parseNpyHeader(head: Uint8Array, size: number): NpyTable {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  if (bytes.length < 12 || bytes.toString("latin1", 0, 6) !== magic)
    throw new Error("it does not begin like a .npy file");
  const version = bytes[6]!;
  if (version < 1 || version > 3) throw new Error(`its format version is ${version}; known are 1 to 3`);
  const [from, length] = version === 1 ? [10, bytes.readUInt16LE(8)] : [12, bytes.readUInt32LE(8)];
  if (length > Math.min(size - from, longestHeader)) throw new Error(`its header says ${length} bytes`);
  const text = bytes.toString("latin1", from, from + length);
  const valueOf = (pattern: RegExp) => pattern.exec(text)?.[1];
  const type = valueOf(/'descr': *'([^']{1,16})'/);
  const order = valueOf(/'fortran_order': *(True|False)/);
  const shape = valueOf(/'shape': *\(([\d, ]{0,100})\)/);
  if (type === undefined || order === undefined || shape === undefined)
    throw new Error("its header is not that of a plain array");
  if (!isKnown(type))
    throw new Error(
      `its numbers are of the type ${type}; read are ${Object.keys(bytesOfNpy).join(", ")}: use astype("<f4")`,
    );
  if (order === "True") throw new Error("it is in Fortran order; save numpy.ascontiguousarray of it");
  const [rows, width, ...more] = shape
    .split(",")
    .filter((part) => part.trim() !== "")
    .map(Number);
  if (rows === undefined || width === undefined || more.length > 0 || width === 0)
    throw new Error(`its shape is (${shape}); expected a row of numbers per image`);
  const whole = from + length + rows * width * bytesOfNpy[type];
  if (whole !== size) throw new Error(`it should have ${whole} bytes, but has ${size}`);
  return { type, rows, width, start: from + length };
}

/** `longestHeader` and what stands before it. */
export const npyHeadBytes = longestHeader + 12;

function isKnown(type: string): type is NpyType {
  return Object.hasOwn(bytesOfNpy, type);
}
