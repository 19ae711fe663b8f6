/** Damaged files for readers, which must answer each with a value or with one sentence. */
import { fold, key, Random } from "../src/tensor/random.ts";

/** How many damaged copies a test tries: `LAYERGRAFT_FUZZ` if it is set, else `usual`. */
export function fuzzCount(usual: number): number {
  return Number(process.env["LAYERGRAFT_FUZZ"] ?? usual);
}

export interface Fuzz {
  /** Names the stream of random numbers. */
  readonly name: string;
  /** Whole files, one of which is damaged each time. */
  readonly originals: readonly Uint8Array[];
  readonly count: number;
  /** Makes checksums right again, half of the time. */
  readonly repair?: (bytes: Buffer) => void;
  /** Bytes that are damaged more often than others: a directory, a footer. */
  readonly focus?: (bytes: Buffer) => readonly [start: number, end: number];
  readonly read: (bytes: Buffer) => Promise<unknown>;
}

/** Reads damaged copies, and returns how many were read and the errors, most frequent first, with their counts. */
export async function fuzz({ name, originals, count, repair, focus, read }: Fuzz) {
  let values = 0;
  const errors = new Map<string, number>();
  for (let i = 0; i < count; i++) {
    const random = new Random(fold(key(0), "fuzz", name, i));
    let bytes: Buffer = Buffer.from(originals[random.integer(originals.length)]!);
    const changes = 1 + random.integer(4);
    for (let change = 0; change < changes; change++) bytes = damaged(bytes, random, focus?.(bytes));
    if (random.uniform() < 0.5) repair?.(bytes);
    try {
      await read(bytes);
      values++;
    } catch (error) {
      if (!(error instanceof Error) || error.message === "" || error.message.includes("\n"))
        throw new Error(`fuzz ${name} ${i}: no sentence`, { cause: error });
      const kind = error.message.replaceAll(/-?\d+/g, "0");
      errors.set(kind, (errors.get(kind) ?? 0) + 1);
    }
  }
  return { values, errors: [...errors].sort((a, b) => b[1] - a[1]) };
}

const extremes = [0, 1, 7, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

function damaged(bytes: Buffer, random: Random, focus: readonly [number, number] | undefined): Buffer {
  const [start, end] = focus !== undefined && random.uniform() < 0.8 ? focus : [0, bytes.length];
  const place = () => start + random.integer(Math.max(end - start, 1));
  const at = place();
  const kind = random.integer(8);
  if (kind === 0) return bytes.subarray(0, at);
  if (kind === 1) return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.integer(16))]);
  if (kind === 2) {
    const from = place();
    return Buffer.concat([
      bytes.subarray(0, at),
      bytes.subarray(from, from + 1 + random.integer(64)),
      bytes.subarray(at),
    ]);
  }
  const changed = Buffer.from(bytes);
  if (kind === 3 && at + 8 <= bytes.length) {
    const value = extremes[random.integer(extremes.length)]!;
    changed.writeUInt32LE(value, at);
    if (random.uniform() < 0.3) changed.writeUInt32LE(value, at + 4);
  } else if (kind === 4 && at < changed.length) {
    changed[at]! ^= 1 << random.integer(8);
  } else if (kind === 5 && at < changed.length) {
    changed.fill(random.integer(256), at, Math.min(at + random.integer(16), bytes.length));
  } else if (at < changed.length) {
    changed[at] = random.integer(256);
  }
  return changed;
}
