/** Writes pickles and PyTorch files byte by byte, those that nobody should open included. */

type Part = number | string | Uint8Array;

/** Bytes, texts (Latin-1) and pieces in a row. */
export function join(...parts: readonly Part[]): Buffer {
  const pieces = parts.map((part) =>
    typeof part === "number" ? Buffer.of(part) : typeof part === "string" ? Buffer.from(part, "latin1") : part,
  );
  return Buffer.concat(pieces);
}

export function uint(size: 2 | 4 | 8, value: number | bigint): Buffer {
  const field = Buffer.alloc(8);
  field.writeBigUInt64LE(BigInt(value));
  return field.subarray(0, size);
}

/** A pickle of protocol 2. */
export const pickle = (...parts: readonly Part[]) => join("\x80\x02", ...parts, ".");
export const text = (value: string) => join("X", uint(4, Buffer.byteLength(value)), Buffer.from(value));
export const whole = (value: number | bigint) =>
  value >= 0 && value < 2 ** 31
    ? join("J", uint(4, value))
    : join("\x8a", 16, uint(8, BigInt.asUintN(64, BigInt(value))), uint(8, BigInt(value) < 0n ? 2n ** 64n - 1n : 0));
export const tuple = (...items: readonly Part[]) => join("(", ...items, "t");
export const list = (...items: readonly Part[]) => join("](", ...items, "e");
export const dict = (entries: Readonly<Record<string, Part>>) =>
  join("}(", ...Object.entries(entries).flatMap(([key, value]) => [text(key), value]), "u");
export const name = (module: string, name: string) => `c${module}\n${name}\n`;
export const call = (callee: Part, ...args: readonly Part[]) => join(callee, tuple(...args), "R");
export const put = (index: number, value: Part) => join(value, "r", uint(4, index));
export const get = (index: number) => join("j", uint(4, index));

export const storage = (key: string, length: number | bigint, type: Part = name("torch", "FloatStorage")) =>
  join(tuple(text("storage"), type, text(key), text("cpu"), whole(length)), "Q");

/** A tensor as torch.save describes it; strides of a row-major one when left out. */
export function tensor(
  data: Part,
  shape: readonly (number | bigint)[],
  { offset = 0, strides }: { offset?: number | bigint; strides?: readonly (number | bigint)[] } = {},
): Buffer {
  const straight = shape.map((_, axis) =>
    shape.slice(axis + 1).reduce<bigint>((product, n) => product * BigInt(n), 1n),
  );
  return call(
    name("torch._utils", "_rebuild_tensor_v2"),
    data,
    whole(offset),
    tuple(...shape.map(whole)),
    tuple(...(strides ?? straight).map(whole)),
    "\x89",
    call(name("collections", "OrderedDict")),
  );
}

export interface ZipEntry {
  readonly name: string;
  readonly content: Uint8Array;
  /** What the directory says instead of the truth. */
  readonly method?: number;
  readonly size?: number;
  readonly packed?: number;
  readonly offset?: number;
}

/** A zip archive of stored entries. */
export function zip(entries: readonly ZipEntry[]): Buffer {
  const bodies: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, content, method = 0, size = content.length, packed = size, offset = at } of entries) {
    const facts = join(uint(2, 0), uint(2, method), uint(8, 0), uint(4, packed), uint(4, size), uint(2, name.length));
    const body = join("PK\x03\x04", uint(2, 20), facts, uint(2, 0), name, content);
    const rest = join(uint(2, 0), uint(2, 0), uint(2, 0), uint(2, 0), uint(4, 0), uint(4, offset));
    directory.push(join("PK\x01\x02", uint(2, 20), uint(2, 20), facts, rest, name));
    bodies.push(body);
    at += body.length;
  }
  const listing = Buffer.concat(directory);
  const count = uint(2, entries.length);
  const end = join("PK\x05\x06", uint(4, 0), count, count, uint(4, listing.length), uint(4, at), uint(2, 0));
  return Buffer.concat([...bodies, listing, end]);
}

/** The archive that torch.save writes around a pickle. */
export function archive(content: Uint8Array, storages: Readonly<Record<string, Uint8Array>> = {}): Buffer {
  const data = Object.entries(storages).map(([key, content]) => ({ name: `x/data/${key}`, content }));
  return zip([{ name: "x/data.pkl", content }, ...data, { name: "x/version", content: join("3\n") }]);
}

/** The format before PyTorch 1.6. */
export function pickles(
  content: Uint8Array,
  storages: Readonly<Record<string, { length: number | bigint; content: Uint8Array }>> = {},
): Buffer {
  return join(
    pickle("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"),
    pickle(whole(1001)),
    pickle(dict({ little_endian: "\x88" })),
    content,
    pickle(list(...Object.keys(storages).map(text))),
    ...Object.values(storages).flatMap(({ length, content }) => [uint(8, length), content]),
  );
}
