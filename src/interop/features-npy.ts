/**
 * Features as NumPy's `features.npy`, with `features.names.txt` and `features.labels.txt` beside it, a line per row, and
 * `features.json`, which says how they were made.
 */
import { closeSync, createReadStream, existsSync, readFileSync } from "node:fs";
import { fromFloat16 } from "../tensor/half.ts";
import {
  beginFile,
  type FeaturesFile,
  type FeaturesTable,
  type FeaturesWriter,
  parseOrigin,
  readBytes,
} from "./features.ts";
import { bytesOfNpy, encodeNpyHeader, npyHeadBytes, type NpyType, parseNpyHeader } from "./npy.ts";

/** The file beside `features.npy` that holds its names, labels or origin. */
function beside(path: string, what: "names.txt" | "labels.txt" | "json"): string {
  return `${path.replace(/\.npy$/, "")}.${what}`;
}

export function createNpy(path: string, { width, labelled, origin }: FeaturesTable): FeaturesWriter {
  const about = beginFile(beside(path, "json"));
  const names = beginFile(beside(path, "names.txt"));
  const labels = labelled ? beginFile(beside(path, "labels.txt")) : undefined;
  const table = beginFile(path);
  const files = [about, names, ...(labels === undefined ? [] : [labels]), table];
  let count = 0;
  about.write(`${JSON.stringify(origin, null, 2)}\n`);
  table.write(encodeNpyHeader(0, width));
  return {
    append(part) {
      count += part.names.length;
      names.write(linesOf(part.names));
      labels?.write(linesOf(part.labels));
      table.write(new Uint8Array(part.rows.buffer, part.rows.byteOffset, part.rows.byteLength));
    },
    commit() {
      table.overwrite(encodeNpyHeader(count, width), 0);
      for (const file of files) file.commit(); // the table last: where it is, all is
    },
    discard() {
      for (const file of files) file.discard();
    },
  };
}

/** A line break within a text would move all texts after it: it becomes a space. */
function linesOf(texts: readonly (string | undefined)[]): string {
  return texts.map((text = "") => `${text.replaceAll(/\r?\n/g, " ")}\n`).join("");
}

/** Bytes of rows that are read at a time. */
const partBytes = 2 ** 22;

/** Opens a table with or without what `createNpy` puts beside it. Throws half a sentence, to go after the path. */
export function openNpy(path: string, file: number, size: number): FeaturesFile {
  const { type, rows: count, width, start } = parseNpyHeader(readBytes(file, 0, Math.min(size, npyHeadBytes)), size);
  const about = beside(path, "json");
  const rowBytes = width * bytesOfNpy[type];
  const atOnce = Math.max(1, Math.floor(partBytes / rowBytes));
  return {
    path,
    count,
    width,
    origin: existsSync(about) ? parseOrigin(path, readFileSync(about, "utf8")) : undefined,
    async *parts() {
      const names = linesIn(beside(path, "names.txt"), count);
      const labels = linesIn(beside(path, "labels.txt"), count);
      for (let first = 0; first < count; first += atOnce) {
        const used = Math.min(atOnce, count - first);
        const bytes = readBytes(file, start + first * rowBytes, start + (first + used) * rowBytes);
        const rowNames = (await names(used)) ?? Array.from({ length: used }, (_, i) => `row ${first + i}`);
        const rowLabels = (await labels(used))?.map((label) => (label === "" ? undefined : label));
        yield { rows: toFloat32(type, bytes), names: rowNames, labels: rowLabels ?? rowNames.map(() => undefined) };
      }
    },
    close: () => closeSync(file),
  };
}

function toFloat32(type: NpyType, { buffer }: Uint8Array<ArrayBuffer>): Float32Array {
  if (type === "<f4") return new Float32Array(buffer);
  return type === "<f8" ? Float32Array.from(new Float64Array(buffer)) : fromFloat16(new Uint16Array(buffer));
}

/** No name of an image is longer: a file without line breaks is no list of names. */
const longestLine = 65_536;

/** A function that gives the next lines of a file, which must be `count` in all; of a missing file undefined. */
function linesIn(path: string, count: number): (wanted: number) => Promise<string[] | undefined> {
  if (!existsSync(path)) return async () => undefined;
  const lines = readLines(path);
  let given = 0;
  return async (wanted) => {
    const found: string[] = [];
    while (found.length < wanted) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`${path} has ${given + found.length} lines for ${count} rows`);
      found.push(value);
    }
    given += wanted;
    if (given === count && (await lines.next()).done !== true)
      throw new Error(`${path} has more lines than the ${count} rows`);
    return found;
  };
}

async function* readLines(path: string): AsyncGenerator<string, void, undefined> {
  let rest = "";
  for await (const text of createReadStream(path, "utf8")) {
    const lines = `${rest}${text as string}`.split("\n");
    rest = lines.pop()!;
    if (rest.length > longestLine) throw new Error(`${path} has a line of more than ${longestLine} characters`);
    for (const line of lines) yield line.replace(/\r$/, "");
  }
  if (rest !== "") yield rest;
}
