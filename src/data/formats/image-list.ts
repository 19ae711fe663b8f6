/** Text files that list images: one a line, its path and, after white space, a label, as the paper's split files do. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { isImageName } from "./image-format.ts";
import { splitWords } from "../source.ts";
import type { Split } from "../source.ts";

export interface ListedImage {
  readonly path: string;
  readonly label?: string;
  readonly split?: Split;
  /** Of the text, from 1. */
  readonly line: number;
}

/**
 * The images that a text lists. The label is a line's last word, unless that ends like an image file: then the whole
 * line is the path. After image file and label may stand the split: train, val, validation or test. Paths may contain
 * spaces; lines may end in CRLF; blank ones and a byte order mark are ignored. Lines are decoded one at a time.
 */
export function* parseList(text: string | Uint8Array): Generator<ListedImage, void, undefined> {
  const bytes = typeof text === "string" ? Buffer.from(text) : Buffer.from(text.buffer, text.byteOffset, text.length);
  for (let line = 1, start = 0; start < bytes.length; line++) {
    const found = bytes.indexOf("\n", start);
    const end = found === -1 ? bytes.length : found;
    const content = bytes.toString("utf8", start, end).trim(); // a byte order mark counts as white space
    start = end + 1;
    if (content !== "") yield parseLine(content, line);
  }
}

function parseLine(content: string, line: number): ListedImage {
  if (isImageName(content)) return { path: content, line };
  const [, path, label, word] = /^(.*\S)\s+(\S+)\s+(\S+)$/.exec(content) ?? [];
  const split = splitWords.get(word);
  if (split !== undefined && isImageName(path!)) return { path: path!, label: label!, split, line };
  const [, before, last] = /^(.*\S)\s+(\S+)$/.exec(content) ?? [];
  return before === undefined ? { path: content, line } : { path: before, label: last!, line };
}

/** `parseList` of a file. Throws one sentence when there is no such file or it lists nothing. */
export async function readList(path: string): Promise<Iterable<ListedImage>> {
  const full = resolve(path);
  const text = await readFile(full).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") throw new Error(`there is no file ${path} (looked for ${full})`);
    if (error.code === "EISDIR") throw new Error(`${path} is a folder; give a text file with an image a line`);
    throw error;
  });
  if (parseList(text).next().done === true)
    throw new Error(`${path} lists no image; it should have one a line, its path and its label`);
  return parseList(text);
}

/** Images of which a split file labels some: what they are called, and their classes. */
export interface Labelled {
  readonly ids: readonly string[];
  readonly labels: ArrayLike<number>;
  readonly classes: readonly string[];
}

/**
 * The rows of `images` that the split file at `path` names, in ascending order; one that is named twice counts once.
 *
 * An image is named by its id or by a part of it from a folder on, and the file may have more folders in front:
 * `train/n01440764/x.JPEG` means the id `n01440764/x.JPEG` as well. The file's labels need not be called or numbered as
 * `classes` are, but must divide the images as these do. Throws one sentence when they do not, when an image is missing,
 * or when a class has no image in the file.
 */
export async function rowsOfSplitFile(path: string, { ids, labels, classes }: Labelled): Promise<number[]> {
  const listed = [...(await readList(path))];
  const find = finder(ids);
  const missing: string[] = [];
  const rows = new Set<number>();
  const classOf = new Map<string, number>();
  const labelOf = new Map<number, string>();
  for (const { path: name, label, line } of listed) {
    const where = `${path}, line ${line}`;
    if (label === undefined) throw new Error(`${where} has no label after ${name}`);
    const [row, another] = find(name);
    if (another !== undefined)
      throw new Error(`${where}: ${name} may be ${ids[row!]} or ${ids[another]}; give more of its path`);
    if (row === undefined) {
      missing.push(name);
      continue;
    }
    rows.add(row);
    const found = labels[row]!;
    const expected = classOf.get(label) ?? found;
    const before = labelOf.get(found) ?? label;
    if (expected !== found || before !== label) {
      const earlier =
        expected === found
          ? `before, images of this class were labelled ${before}`
          : `before, ${label} was the label of ${classes[expected]}`;
      throw new Error(
        `${where} gives ${name}, which is of the class ${classes[found]}, the label ${label}; ${earlier}, ` +
          "and labels must divide the images as their classes do",
      );
    }
    classOf.set(label, found);
    labelOf.set(found, label);
  }
  if (missing.length > 0)
    throw new Error(
      `${missing.length} of the ${listed.length} images that ${path} lists are not among the ${ids.length} training ` +
        `images (those of validation and test do not count); the first: ${missing[0]}`,
    );
  const untaught = classes.filter((_, label) => !labelOf.has(label));
  if (untaught.length > 0)
    throw new Error(
      `${path} lists no image of the class ${untaught[0]}` +
        `${untaught.length === 1 ? "" : ` and of ${untaught.length - 1} more`}; every class needs one to learn it from`,
    );
  return [...rows].sort((a, b) => a - b);
}

/** A function that finds the row of a path, or two rows when it may be either. */
function finder(ids: readonly string[]): (path: string) => number[] {
  const byName = new Map<string, number[]>();
  const nameOf = (path: string) => path.slice(path.lastIndexOf("/") + 1);
  for (const [row, id] of ids.entries()) {
    const name = nameOf(id);
    const rows = byName.get(name);
    if (rows === undefined) byName.set(name, [row]);
    else rows.push(row);
  }
  return (path) => {
    const candidates = byName.get(nameOf(path)) ?? [];
    const same = candidates.filter((row) => ids[row] === path);
    if (same.length > 0) return same.slice(0, 1);
    return candidates.filter((row) => `/${ids[row]}`.endsWith(`/${path}`) || `/${path}`.endsWith(`/${ids[row]}`));
  };
}
