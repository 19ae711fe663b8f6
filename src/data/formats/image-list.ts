/**
 * Text files that list images, one a line: its path and then, after white space, a label and a split, as the paper's split
 * files do; or a table. Which of them it is, its first lines tell.
 */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { shown } from "../../tensor/text.ts";
import { splitWords } from "../source.ts";
import { delimiterOf, endsInLine, imageEnd, parseTable } from "./image-table.ts";
import { type ImageList, type ListColumns, type ListedImage, pathOf, type Text } from "./listed-image.ts";
import { type Line, linesOf, textOf, trimmed } from "./text-lines.ts";

/** Reads a list. Throws one sentence when there is no such file, it lists nothing, or has no such column. */
export async function readList(path: string, columns: ListColumns = {}): Promise<ImageList> {
  const full = resolve(path);
  const content = await readFile(full).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") throw new Error(`there is no file ${path} (looked for ${full})`);
    if (error.code === "EISDIR") throw new Error(`${path} is a folder; give a text file with an image a line`);
    throw error;
  });
  return parseList(path, content, columns);
}

/** Lines that tell the form of a list. */
const mostLooked = 20;

/** `readList` of the content of a file of that name. */
export function parseList(name: string, content: Uint8Array, columns: ListColumns = {}): ImageList {
  const text: Text = { name, lines: () => linesOf(name, content) };
  const first: Line[] = [];
  for (const line of text.lines()) if (first.push(line) === mostLooked) break;
  if (first.length === 0) throw new Error(`${name} lists no image; it should have one a line, its path and its label`);
  const usual = /\.csv$/i.test(name) ? "," : /\.tsv$/i.test(name) ? "\t" : undefined;
  const delimiter = delimiterOf(first) ?? usual;
  if (delimiter !== undefined) return parseTable(text, first.length, delimiter, columns);
  const asked = columns.image === undefined ? "label" : "image";
  if (columns[asked] !== undefined)
    throw new Error(`${name} is no table, so it has no column ${shown(columns[asked])}; leave out --${asked}-column`);
  return parseLines(text, first);
}

/** Lines of path, white space and label. */
function parseLines({ lines }: Text, first: readonly Line[]): ImageList {
  const start = first.findIndex(({ bytes }) => endsInLine.test(bytes));
  const head = first.slice(0, Math.max(start, 0)).filter(({ bytes }) => !isComment(bytes));
  const skipped = new Set(head.map(({ number }) => number));
  return {
    images: {
      *[Symbol.iterator]() {
        for (const { bytes, number } of lines())
          if (!skipped.has(number) && !isComment(bytes)) yield parseLine(trimmed(bytes), number);
      },
    },
    isTable: false,
    notes: head.map(
      ({ bytes, number }) => `line ${number} names no image and is taken for a heading: ${shown(textOf(bytes))}`,
    ),
  };
}

const isComment = (bytes: string) => /^[ \t]*#/.test(bytes) && !endsInLine.test(bytes);

const lastImageEnd = new RegExp(`^(.*${imageEnd})(?:[ \\t]+(.*))?$`, "i");

function parseLine(bytes: string, line: number): ListedImage {
  const [, quoted, behind] = /^"([^"]+)"(?:[ \t]+(.*))?$/.exec(bytes) ?? [];
  if (quoted !== undefined) return listed(quoted, behind, line);
  const [, path, rest] = lastImageEnd.exec(bytes) ?? [];
  if (path !== undefined) return listed(path, rest, line);
  const [, before, last] = /^(.*[^ \t])[ \t]+([^ \t]+)$/.exec(bytes) ?? [];
  return before === undefined ? listed(bytes, undefined, line) : listed(before, last, line);
}

/** `rest`: a label, and perhaps a split. */
function listed(path: string, rest: string | undefined, line: number): ListedImage {
  const image = { ...pathOf(path), line };
  if (rest === undefined || rest === "") return image;
  const [, label, word] = /^(.*[^ \t])[ \t]+([^ \t]+)$/.exec(rest) ?? [];
  const split = splitWords.get(word?.toLowerCase());
  if (split !== undefined) return { ...image, label: textOf(unquoted(label!)), split };
  return { ...image, label: textOf(unquoted(rest)) };
}

const unquoted = (bytes: string) => (/^".*"$/.test(bytes) ? bytes.slice(1, -1) : bytes);
