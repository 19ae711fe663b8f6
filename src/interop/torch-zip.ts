/** The directory of a PyTorch archive, a zip file. */
import yauzl from "yauzl";
import { shown } from "../tensor/text.ts";

/** Where the bytes of an entry lie in the file. */
export interface Extent {
  readonly start: number;
  readonly length: number;
  /** Compressed or encrypted: not to be read. TorchScript archives have such entries, checkpoints have none. */
  readonly packed: boolean;
}

/** Fills `target` with the bytes of a file from `position` on, and throws a sentence when it ends before. */
export type ReadAt = (target: Uint8Array, position: number) => void;

/** A checkpoint has an entry per storage: some hundred, or some thousand with an optimizer. */
const mostEntries = 100_000;

/**
 * The entries of an archive by name, without the folder that holds them all. Every extent lies inside the file.
 * Throws one sentence that begins with the path.
 */
export async function readDirectory(path: string, size: number, readAt: ReadAt): Promise<Map<string, Extent>> {
  const fail = (why: string) => new Error(`${path} ${why}`);
  try {
    const zip = await yauzl.fromRandomAccessReaderPromise(new Reader(size, readAt), size, { autoClose: false });
    const entries = new Map<string, Extent>();
    for await (const entry of zip.eachEntry()) {
      const { fileName, compressionMethod, uncompressedSize } = entry;
      const name = fileName.replace(/^[^/]*\//, "");
      if (entries.has(name)) throw new Damage("has two entries of one name");
      if (entries.size >= mostEntries) throw new Damage(`has more than ${mostEntries} entries`);
      const packed = compressionMethod !== 0 || entry.isEncrypted();
      const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
      entries.set(name, { start: fileDataStart, length: uncompressedSize, packed });
    }
    return entries;
  } catch (error) {
    if (error instanceof Damage) throw fail(error.message);
    // yauzl goes on with questions and names from the file.
    const [problem] = (error as Error).message.split(/\. |\.$/);
    throw fail(`is not a complete zip archive (${shown(problem!)}); get it again`);
  }
}

class Damage extends Error {}

/** Positioned reads that stay inside the file: yauzl passes on whatever offsets the file names. */
class Reader extends yauzl.RandomAccessReader {
  readonly #size: number;
  readonly #readAt: ReadAt;

  constructor(size: number, readAt: ReadAt) {
    super();
    this.#size = size;
    this.#readAt = readAt;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    let problem: Error | null = null;
    if (position + length > this.#size) problem = new Error(`it names byte ${position + length} of ${this.#size}`);
    else
      try {
        this.#readAt(buffer.subarray(offset, offset + length), position);
      } catch (error) {
        problem = error as Error;
      }
    callback(problem);
  }
}
