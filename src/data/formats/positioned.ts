/** Reading a part of a file, for files that are too large to hold. */
import { type FileHandle, open } from "node:fs/promises";

/** The bytes of a file. */
export interface Bytes {
  /** For messages. */
  readonly name: string;
  readonly size: number;
  /** Exactly the `length` bytes from `offset` on, as memory of its own. Rejects with one sentence beyond the end. */
  read(offset: number, length: number): Promise<Buffer>;
}

/** Opens a file for `use`, and closes it. `name`: see Bytes. */
export async function withFile<T>(path: string, name: string, use: (file: Bytes) => Promise<T>): Promise<T> {
  const handle = await open(path);
  try {
    const { size } = await handle.stat();
    return await use({
      name,
      size,
      async read(offset, length) {
        checkRange(name, size, offset, length);
        return readFully(handle, name, offset, length);
      },
    });
  } finally {
    await handle.close();
  }
}

/** The `length` bytes from `offset` on of a file that somebody has looked into before. */
export async function readPart(path: string, offset: number, length: number): Promise<Buffer> {
  const handle = await open(path);
  try {
    return await readFully(handle, path, offset, length);
  } finally {
    await handle.close();
  }
}

async function readFully(handle: FileHandle, name: string, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) throw new Error(`${name} became shorter while it was read`);
    done += bytesRead;
  }
  return bytes;
}

/** Bytes in memory. */
export function inMemory(name: string, content: Uint8Array): Bytes {
  return {
    name,
    size: content.length,
    async read(offset, length) {
      checkRange(name, content.length, offset, length);
      const bytes = Buffer.allocUnsafeSlow(length);
      bytes.set(content.subarray(offset, offset + length));
      return bytes;
    },
  };
}

function checkRange(name: string, size: number, offset: number, length: number): void {
  if (!(Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0))
    throw new Error(`${name} is damaged: it refers to ${length} bytes at ${offset}`);
  if (offset + length > size)
    throw new Error(
      `${name} is damaged or cut off: it refers to byte ${offset + length}, but has ${size}; copy it again`,
    );
}

const nearby = 2 ** 14;
const [little, much] = [2 ** 12, 2 ** 16];

/**
 * Reads a file forwards in small pieces. Pieces that lie close together are read in one go; over what lies between
 * distant ones it jumps.
 */
export function forwards({ size, read }: Bytes): (offset: number, length: number) => Promise<Buffer> {
  let start = 0;
  let held: Buffer = Buffer.alloc(0);
  return async (offset, length) => {
    const end = start + held.length;
    if (offset < start || offset + length > end) {
      const ahead = offset >= start && offset < end + nearby ? much : little;
      held = await read(offset, Math.max(length, Math.min(ahead, size - offset)));
      start = offset;
    }
    return held.subarray(offset - start, offset - start + length);
  };
}
