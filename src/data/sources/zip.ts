/** Images in zip archives, with folders as classes. Nothing is unpacked but the image that is asked for. */
import { isUtf8 } from "node:buffer";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { inflateRaw } from "node:zlib";
import yauzl from "yauzl";
import * as z from "zod";
import { archiveArgument, archivesAt, archiveSplitHelp, packedFacts } from "./archive.ts";
import { readImage } from "../formats/decode.ts";
import { isImageName } from "../formats/image-format.ts";
import { idOf, IndexBuilder } from "./image-index.ts";
import { imageFiles, rangeSpec, shortSideSpec, splitSpec } from "./image-files.ts";
import { openIndexed } from "./indexed.ts";
import type { IndexedKind } from "./kind.ts";
import { tidied } from "../formats/names.ts";
import { isHidden, Passed } from "./passed.ts";
import { type Bytes, forwards, readPart, withFile } from "../formats/positioned.ts";
import { shown } from "../../tensor/text.ts";

const schema = z.strictObject({
  kind: z.literal("zip"),
  path: z.string().min(1).describe("a .zip file, a folder of them, or a pattern"),
  shortSide: shortSideSpec,
  range: rangeSpec,
  split: splitSpec.describe(`of folders in the archive, or of ${archiveSplitHelp}; default: all images`),
});

/**
 * The images of the archives, in the order of their paths and then of the archive's directory; names that begin with a dot
 * and what systems add are left out. Folders are classes and splits as in a folder of images.
 */
export const zip: IndexedKind<typeof schema> = {
  schema,
  ...imageFiles,
  argument: archiveArgument("zip"),
  key: ({ path }) => [resolve(path)],

  /** Throws when there is no archive or no image, or when the directory of one is damaged. */
  async build({ path }) {
    const archives = await archivesAt(path, ".zip");
    const { files, names, prefixes } = archives;
    const images = new IndexBuilder("file", "offset", "packed", "size", "method");
    const passed = new Passed({ isPacked: true });
    for (const [f, file] of files.entries())
      await withFile(file, names[f]!, async (bytes) => {
        for await (const { name, ...place } of entries(bytes))
          if (isImageName(name) && !isHidden(name)) images.add(`${prefixes[f]}${name}`, { file: f, ...place });
          else if (!name.endsWith("/")) passed.member(name);
      });
    if (images.length === 0) throw new Error(`no image in ${path}: ${passed.instead()}`);
    return images.finish({ ...packedFacts(images, archives, passed), dependencies: archives.dependencies });
  },

  open({ path, shortSide, range, split }, index) {
    const { file, offset, packed, size, method } = index.places;
    const load = (i: number) =>
      content((from, length) => readPart(index.files[file![i]!]!, from, length), {
        offset: offset![i]!,
        packed: packed![i]!,
        size: size![i]!,
        method: method![i]!,
      });
    return openIndexed(index, {
      name: path,
      split,
      splitHelp: `folders named train and test (or val) in it, or ${archiveSplitHelp}`,
      load: (i, hint) => readImage(load(i), idOf(index, i), { shortSide, range }, hint),
    });
  },
};

/** Where an entry lies: its own header first, whose length only this header says. */
interface Place {
  readonly offset: number;
  /** Bytes as they lie in the file, and as they were. */
  readonly packed: number;
  readonly size: number;
  /** How it is compressed; `encrypted` is added for one that needs a password. */
  readonly method: number;
}

const [stored, deflated, encrypted] = [0, 8, 2 ** 16];
const localHeaderBytes = 30;
/** A byte of deflated data never becomes more. */
const mostInflation = 1032;
const mostImageBytes = 2 ** 28;

/** What the directory of an archive lists. Rejects with one sentence when it is damaged. */
export async function* entries(file: Bytes): AsyncGenerator<Place & { readonly name: string }> {
  const { name: archive, size: total } = file;
  try {
    const options = { autoClose: false, decodeStrings: false, validateEntrySizes: false, lazyEntries: true };
    const directory = await yauzl.fromRandomAccessReaderPromise(new Reader(forwards(file)), total, options);
    for await (const entry of directory.eachEntry()) {
      const { fileNameRaw: raw, compressedSize: packed, uncompressedSize: size, compressionMethod } = entry;
      const offset = entry.relativeOffsetOfLocalHeader;
      if (offset + localHeaderBytes + packed > total)
        throw new Error(`an entry goes to byte ${offset + localHeaderBytes + packed} of ${total}`);
      // The flag for UTF-8 is often forgotten, and some programs on Windows write `\` between folders.
      const name = tidied(
        (isUtf8(raw)
          ? raw.toString()
          : yauzl.getFileNameLowLevel(entry.generalPurposeBitFlag, raw, entry.extraFields, false)
        ).replaceAll("\\", "/"),
      );
      yield { name, offset, packed, size, method: compressionMethod + (entry.isEncrypted() ? encrypted : 0) };
    }
  } catch (error) {
    const { message } = error as Error;
    if (total >= 512 && (await file.read(257, 5)).toString() === "ustar")
      throw new Error(`${archive} is a tar archive, whatever it is called: let its name end in .tar`, { cause: error });
    throw new Error(`${archive} is damaged or no zip archive: ${shown(message)}`, { cause: error });
  }
}

/** The directory is read in larger pieces than yauzl asks for. */
class Reader extends yauzl.RandomAccessReader {
  readonly #read: ReturnType<typeof forwards>;

  constructor(read: ReturnType<typeof forwards>) {
    super();
    this.#read = read;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    this.#read(position, length).then(
      (bytes) => callback(null, bytes.copy(buffer, offset)),
      (error: unknown) => callback(error as Error),
    );
  }
}

const inflate = promisify<Uint8Array, { maxOutputLength: number }, Buffer>(inflateRaw);

/** The content of an entry. Rejects with one sentence when it is not what the directory says. */
export async function content(
  read: (offset: number, length: number) => Promise<Buffer>,
  { offset, packed, size, method }: Place,
): Promise<Uint8Array> {
  if (method >= encrypted) throw new Error("it is encrypted; pack it without a password");
  if (method !== stored && method !== deflated)
    throw new Error(`it is compressed in a way that is not read (${method}); pack it with deflate`);
  if (size > mostImageBytes) throw new Error(`it has ${size} bytes, more than the ${mostImageBytes} that are read`);
  if (method === stored ? size !== packed : size > mostInflation * packed)
    throw new Error(`it says it becomes ${size} bytes from ${packed}`);
  const header = await read(offset, localHeaderBytes);
  if (header.toString("latin1", 0, 4) !== "PK\x03\x04") throw new Error("the archive is damaged where it should lie");
  const start = offset + localHeaderBytes + header.readUInt16LE(26) + header.readUInt16LE(28);
  const bytes = await read(start, packed);
  if (method === stored) return bytes;
  const inflated = await inflate(bytes, { maxOutputLength: Math.max(size, 1) });
  if (inflated.length !== size) throw new Error(`it has ${inflated.length} bytes, not ${size}`);
  return inflated;
}
