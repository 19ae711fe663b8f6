/** Images in Parquet files, as data sets on Hugging Face have them: the bytes of an image file in each row. */
import { resolve } from "node:path";
import * as z from "zod";
import { archiveArgument, archivesAt, archiveSplitHelp, splitsOfNames } from "./archive.ts";
import { readImage } from "../formats/decode.ts";
import { idOf, type ImageIndex, IndexBuilder } from "./image-index.ts";
import { imageFiles, shortSideSpec, splitSpec } from "./image-files.ts";
import { openIndexed } from "./indexed.ts";
import type { IndexedKind } from "./kind.ts";
import { LabelNames } from "./label-names.ts";
import { blockOf } from "./blocks.ts";
import { type ParquetColumn, type ParquetFile, readFooter, readPage, type Value } from "../formats/parquet-file.ts";
import { shown } from "../../tensor/text.ts";
import { type Bytes, withFile } from "../formats/positioned.ts";

const schema = z.strictObject({
  kind: z.literal("parquet"),
  path: z.string().min(1).describe("a .parquet file, a folder of them, or a pattern"),
  image: z.string().min(1).optional().describe("column of the images; default: image or img"),
  label: z.string().min(1).optional().describe("column of the classes; default: label or fine_label, if there is one"),
  shortSide: shortSideSpec,
  split: splitSpec.describe(`of ${archiveSplitHelp}; default: all images`),
});

/**
 * The rows of the files, in the order of their paths. A row without an image counts as one that cannot be read. Classes
 * are called as the metadata of Hugging Face's library say, else by their labels. Blocks are the pages of the file.
 */
export const parquet: IndexedKind<typeof schema> = {
  schema,
  ...imageFiles,
  argument: archiveArgument("parquet"),
  key: ({ path, image, label }) => [resolve(path), image, label],

  /** Throws when there is no file, no row or no such column, or when one is damaged. */
  async build({ path, image, label }) {
    const { files, names, prefixes, notes, dependencies } = await archivesAt(path, ".parquet");
    const images = new IndexBuilder("file", ...placeNames);
    const labels = new LabelNames();
    const blocks: number[] = [];
    let known: readonly string[] | undefined;
    for (const [f, file] of files.entries())
      await withFile(file, names[f]!, async (bytes) => {
        const footer = await readFooter(bytes);
        const column = imageColumn(names[f]!, footer, image);
        const labelColumn = find(footer, label === undefined ? ["label", "fine_label"] : [label]);
        if (labelColumn === undefined && label !== undefined) throw missing(names[f]!, footer, label, "label");
        const own = labelColumn && classNames(footer, labelColumn.path[0]!);
        known ??= own;
        if (own !== undefined && JSON.stringify(own) !== JSON.stringify(known))
          throw new Error(`${names[f]} names other classes than the files before it; give files of one data set`);
        const values = labelColumn && (await labelsOf(bytes, footer, labelColumn, known !== undefined));
        const paths = await pathsOf(bytes, footer, column);
        let row = 0;
        for await (const { rows, ...place } of footer.pages(column)) {
          blocks.push(images.length);
          for (let i = 0; i < rows; i++, row++) {
            images.add(`${prefixes[f]}${paths[row] ?? `row ${row}`}`, { file: f, ...place });
            labels.push(values?.[row]);
          }
        }
      });
    if (images.length === 0) throw new Error(`no image in ${path}: it has no rows`);
    const found: string[] = [];
    const splits = splitsOfNames(names, found);
    const unknown = (found: string) =>
      new Error(`${path} has the label ${shown(found)}, which is none of the ${known!.length} classes it names`);
    return images.finish({
      ...(labels.size === 0 ? {} : labels.facts(known, unknown)),
      ...(splits === undefined ? {} : { splitOf: (i: number) => splits[images.place("file", i)]! }),
      files,
      blocks,
      notes: [...found, ...notes],
      dependencies,
    });
  },

  open({ path, shortSide, split }, index) {
    const valueAt = pageReader(index);
    const bytes = async (i: number) => {
      const value = await valueAt(i);
      if (!(value instanceof Uint8Array) || value.length === 0) throw new Error("its row has no image");
      return value;
    };
    return openIndexed(index, {
      name: path,
      split,
      splitHelp: archiveSplitHelp,
      window: Math.max(1, Math.floor(mixedBytes / bytesPerImage(index))),
      load: (i, hint) => readImage(bytes(i), idOf(index, i), shortSide, hint),
    });
  },
};

/** What an index has of the page that an image is in. */
const placeNames = ["offset", "size", "dictionaryOffset", "dictionarySize", "codec", "levels"] as const;

/** Unpacked pages that a thread keeps, and those that an epoch mixes, which together with the next ones fit in. */
const keptBytes = 2 ** 28;
const mixedBytes = 2 ** 27;

/** Of pages as they are packed: images hardly become smaller. */
function bytesPerImage({ length, blocks, places }: ImageIndex): number {
  let sum = 0;
  for (let block = 0; block < blocks!.length; block++) {
    const first = blocks![block]!;
    sum += places["size"]![first]! + places["dictionarySize"]![first]!;
  }
  return sum / length;
}

/** Reads the value in row `i` of an index. Pages are read one after the other, so that only one too many is held. */
function pageReader({ length, blocks, files, places }: ImageIndex): (i: number) => Promise<Value | undefined> {
  const kept = new Map<number, { values: readonly (Value | undefined)[]; bytes: number }>();
  let used = 0;
  let last: Promise<unknown> = Promise.resolve();

  async function page(block: number): Promise<readonly (Value | undefined)[]> {
    const known = kept.get(block);
    if (known !== undefined) {
      kept.delete(block); // and put it last
      kept.set(block, known);
      return known.values;
    }
    const first = blocks![block]!;
    const rows = (blocks![block + 1] ?? length) - first;
    const at = Object.fromEntries(placeNames.map((name) => [name, places[name]![first]!])) as Record<
      (typeof placeNames)[number],
      number
    >;
    const file = files[places["file"]![first]!]!;
    const values = await withFile(file, file, (bytes) => readPage(bytes, { ...at, rows }, "BYTE_ARRAY"));
    const bytes = values.reduce((sum: number, value) => sum + (value instanceof Uint8Array ? value.length : 0), 0);
    kept.set(block, { values, bytes });
    used += bytes;
    for (const [old, { bytes: freed }] of kept) {
      if (used <= keptBytes || old === block) break;
      kept.delete(old);
      used -= freed;
    }
    return values;
  }

  return async (i) => {
    const block = blockOf(blocks!, i);
    const next = last.then(() => page(block));
    last = next.catch(() => undefined);
    return (await next)[i - blocks![block]!];
  };
}

/** The column of that name, or its field `bytes`. */
function imageColumn(file: string, footer: ParquetFile, name: string | undefined): ParquetColumn {
  const names = name === undefined ? ["image", "img"] : [name];
  const column = find(footer, names) ?? find(footer, names, "bytes");
  if (column === undefined || column.isList || column.type !== "BYTE_ARRAY")
    throw missing(file, footer, names.join(" or "), "image");
  return column;
}

function find({ columns }: ParquetFile, names: readonly string[], ...field: readonly string[]) {
  const wanted = names.map((name) => [name, ...field].join("\n"));
  return columns.find(({ path }) => wanted.includes(path.join("\n")));
}

function missing(file: string, { columns }: ParquetFile, name: string, what: "image" | "label"): Error {
  const kind = what === "image" ? "bytes of images" : "labels";
  const list = columns.map(({ path, type, isList }) => `${path.join(".")} (${isList ? "list of " : ""}${type})`);
  return new Error(
    `${file} has no column ${name} with ${kind}; set ${what} to one of its columns: ${list.slice(0, 50).map(shown).join(", ")}`,
  );
}

/** The label of each row, as text. With names of classes, -1 says that a row has none. */
async function labelsOf(
  file: Bytes,
  footer: ParquetFile,
  column: ParquetColumn,
  isNamed: boolean,
): Promise<(string | undefined)[]> {
  const { path, type, isList } = column;
  if (isList || !["INT32", "INT64", "BYTE_ARRAY"].includes(type))
    throw new Error(
      `${file.name} has labels in its column ${shown(path.join("."))} that are neither numbers nor text (${isList ? "list" : type})`,
    );
  const texts = await textsOf(file, footer, column);
  return isNamed ? texts.map((text) => (text === "-1" ? undefined : text)) : texts;
}

/** What the images were called before they were packed, where the column is a struct that says it. */
async function pathsOf(file: Bytes, footer: ParquetFile, { path }: ParquetColumn): Promise<(string | undefined)[]> {
  const column = path.length === 2 ? find(footer, [path[0]!], "path") : undefined;
  return column?.type === "BYTE_ARRAY" && !column.isList ? textsOf(file, footer, column) : [];
}

/** A whole column as text. */
async function textsOf(file: Bytes, footer: ParquetFile, column: ParquetColumn): Promise<(string | undefined)[]> {
  const texts: (string | undefined)[] = [];
  let left = file.size; // a dictionary may repeat a long text any number of times
  for await (const page of footer.pages(column))
    for (const value of await readPage(file, page, column.type)) {
      const text = value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.length) : value;
      left -= value instanceof Uint8Array ? value.length : 0;
      if (left < 0)
        throw new Error(`${file.name} is damaged: its ${shown(column.path.join("."))} are longer than the file`);
      texts.push(text?.toString());
    }
  return texts;
}

/** The names of classes in what Hugging Face's library says of the columns. */
function classNames({ notes }: ParquetFile, column: string): readonly string[] | undefined {
  const features = z.object({ info: z.object({ features: z.record(z.string(), z.unknown()) }) });
  const named = z.object({ names: z.array(z.string()).min(1) });
  try {
    const all = features.parse(JSON.parse(notes.get("huggingface") ?? "{}")).info.features;
    return named.parse(all[column]).names;
  } catch {
    return undefined;
  }
}
