/** Image files that something else names by their paths: a list, a column of a table. */
import { isUtf8 } from "node:buffer";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { type DecodeOptions, readImage } from "../formats/decode.ts";
import { isImageName } from "../formats/image-format.ts";
import { decodedName } from "../formats/names.ts";
import { shown } from "../../tensor/text.ts";
import type { DecodeHint, Pixels } from "../source.ts";
import { isThere } from "./spelling.ts";

/** An image's path as it is written down: bytes, that need not be text. */
export type PathName = Uint8Array;

/**
 * Reads the image of that name, which starts from `folder` unless it is absolute. A file that is not there is looked for
 * as other systems write its name: see `spellings`. Rejects with one sentence, which calls the image `id`.
 */
export async function readNamed(
  folder: string,
  name: PathName,
  id: string,
  options: DecodeOptions,
  hint: DecodeHint | undefined,
): Promise<Pixels> {
  // Libraries take a path as text; what is no text is read here.
  const read = (path: Buffer) => readImage(isUtf8(path) ? path.toString() : readFile(path), id, options, hint);
  try {
    return await read(placeOf(folder, name));
  } catch (error) {
    const { cause } = error as { cause?: NodeJS.ErrnoException };
    if (cause?.code !== "ENOENT") throw error;
    const other = await find(folder, name);
    if (other === undefined) throw error;
    return read(other);
  }
}

/** Where the file of that name is; undefined when it is not there, however it is spelt. */
async function find(folder: string, name: PathName): Promise<Buffer | undefined> {
  for (const each of spellings(name)) {
    const path = placeOf(folder, each);
    if (await isThere(path)) return path;
  }
  return undefined;
}

/**
 * The same name as it may be on the disk: as it is written, with slashes for Windows' backslashes, with letters of Western
 * Europe as UTF-8, and with accents apart or not (macOS keeps them apart).
 */
function spellings(name: PathName): Buffer[] {
  const bytes = Buffer.from(name.buffer, name.byteOffset, name.length);
  const slashes = sep === "/" && bytes.includes("\\") ? [replaceSlashes(bytes)] : [];
  return [bytes, ...slashes].flatMap((each) => {
    const text = decodedName(each);
    return [each, ...[text, text.normalize("NFC"), text.normalize("NFD")].map((form) => Buffer.from(form))];
  });
}

function replaceSlashes(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString("latin1").replaceAll("\\", "/"), "latin1");
}

function placeOf(folder: string, name: PathName): Buffer {
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1"); // a character a byte
  return Buffer.from(resolve(text(Buffer.from(folder)), text(name)), "latin1");
}

/** Images that are looked for before anything is done with all. */
const looked = 8;

/** Names of images, that are looked for to see where their paths start. */
export interface Names {
  readonly length: number;
  name(i: number): PathName;
  /** For messages: `line 7`. */
  where(i: number): string;
}

/**
 * Looks for some of the images, of which one at least must be there. Throws one sentence, which begins with
 * `what`, the file that names them.
 */
export async function checkNamed(folder: string, names: Names, what: string): Promise<void> {
  const { length } = names;
  const rows = new Set(Array.from({ length: looked }, (_, i) => Math.floor((i * length) / looked)));
  for (const row of rows) if ((await find(folder, names.name(row))) !== undefined) return;
  const first = names.name(0);
  const text = Buffer.from(first).toString();
  if (isAddress(text))
    throw new Error(
      `${what} names addresses in place of images (${names.where(0)}: ${shown(text)}); download the images and give their folder`,
    );
  const place = shown(placeOf(folder, first).toString());
  const root = await rootOf(folder, first);
  const ways = isImageName(text)
    ? root === undefined
      ? "say with --root which folder paths start from"
      : `they are there below ${shown(root)}: add --root ${shown(root)}`
    : "a name needs its ending, such as .jpg";
  throw new Error(
    `${what} names images that are not there: ${shown(text)} (${names.where(0)}; looked for ${place}); ${ways}`,
  );
}

/** `https://…`, `s3://…`. */
export const isAddress = (text: string): boolean => /^[a-z][a-z0-9+.-]+:\/\//i.test(text);

/** Folders that are looked into at most. */
const mostFolders = 200;

/** A folder near `folder`, or the current one, that the path could start from. */
async function rootOf(folder: string, name: PathName): Promise<string | undefined> {
  const near = [folder, dirname(folder)];
  const inside = await Promise.all(
    near.map(async (each) => {
      const entries = await readdir(each, { withFileTypes: true }).catch(() => []);
      return entries.filter((entry) => entry.isDirectory()).map((entry) => join(each, entry.name));
    }),
  );
  for (const root of [process.cwd(), ...near, ...inside.flat().slice(0, mostFolders)]) {
    if ((await find(root, name)) === undefined) continue;
    const path = relative(process.cwd(), root) || ".";
    return path.startsWith("..") ? root : path;
  }
  return undefined;
}
