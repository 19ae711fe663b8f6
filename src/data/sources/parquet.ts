/** Images in Parquet files, as data sets on Hugging Face have them: the bytes of an image file in each row, or its path. */
import { dirname, resolve } from "node:path";
import * as z from "zod";
import { shown } from "../../tensor/text.ts";
import { archiveArgument, archivesAt, archiveSplitHelp, splitsOfNames } from "./archive.ts";
import { readImage } from "../formats/decode.ts";
import { idOf, type ImageIndex, IndexBuilder, nameOf } from "./image-index.ts";
import { imageFiles, rangeSpec, shortSideSpec, splitSpec } from "./image-files.ts";
import { openIndexed } from "./indexed.ts";
import type { IndexedKind } from "./kind.ts";
import { LabelNames } from "./label-names.ts";
import { blockOf } from "./blocks.ts";
import { checkNamed, readNamed } from "./named-files.ts";
import { type Form, fromBase64, type ImageColumn, imageColumnOf, noImages } from "./parquet-columns.ts";
import { labelsOf } from "./parquet-labels.ts";
import { type ParquetColumn, type ParquetFile, readFooter, readPage, type Value } from "../formats/parquet-file.ts";
import { type Bytes, withFile } from "../formats/positioned.ts";

const schema = z.strictObject({
  kind: z.literal("parquet"),
  path: z.string().min(1).describe("a .parquet file, a folder of them, or a pattern"),
  image: z.string().min(1).optional().describe("column of the images; default: the one that holds images"),
  label: z.string().min(1).optional().describe("column of the classes; default: one called label or the like"),
  root: z.string().min(1).optional().describe("folder that paths of images start from; default: the file's own"),
  shortSide: shortSideSpec,
  range: rangeSpec,
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
  key: ({ path, image, label, root }) => [resolve(path), image, label, root && resolve(root)],

  /**
   * Throws when there is no file, no row or no such column, when a file is damaged, or when it names images that are not
   * there.
   */
  async build({ path, image, label, root }) {
    const archives = await archivesAt(path, ".parquet");
    const { files, names, prefixes, dependencies } = archives;
    const images = new IndexBuilder("file", ...rowNames, ...placeNames);
    const labels: (string | undefined)[] = [];
    const blocks: number[] = [];
    const notes: string[] = [];
    const classes = new Set<string>();
    const without: Error[] = [];

    async function add(bytes: Bytes, file: number): Promise<void> {
      const footer = await readFooter(bytes);
      const column = await imageColumnOf(bytes, footer, image);
      if (column === undefined) {
        without.push(noImages(bytes, footer));
        return;
      }
      const found = await labelsOf(bytes, footer, label, column.name);
      if (found.note !== undefined) notes.push(found.note);
      for (const name of found.classes ?? []) classes.add(name);
      const paths = column.form === "path" ? column.values : column.paths;
      const named = paths === undefined ? [] : await pathsOf(bytes, footer, paths, notes);
      const prefix = Buffer.from(prefixes[file]!);
      let row = 0;
      for await (const { rows, ...place } of footer.pages(column.values)) {
        blocks.push(images.length);
        for (let i = 0; i < rows; i++, row++) {
          const name = named[row];
          const facts = { file, prefix: prefix.length, named: name === undefined ? 0 : 1 };
          const form = forms.indexOf(column.form);
          images.add(Buffer.concat([prefix, name ?? Buffer.from(`row ${row}`)]), { ...facts, form, ...place });
          labels.push(found.values?.[row]);
        }
      }
      if (await isElsewhere(bytes, footer, column)) await checkPaths(bytes, root ?? dirname(files[file]!), named);
    }
    for (const [f, file] of files.entries()) await withFile(file, names[f]!, (bytes) => add(bytes, f));
    if (images.length === 0) throw without[0] ?? new Error(`no image in ${path}: it has no rows`);
    for (const { message } of without) notes.push(`left out: ${message}`);
    const splits = splitsOfNames(names, notes);
    return images.finish({
      ...factsOf(labels, [...classes]),
      ...(splits === undefined ? {} : { splitOf: (i: number) => splits[images.place("file", i)]! }),
      files,
      blocks,
      notes: [...together(notes, names), ...archives.notes],
      dependencies,
    });
  },

  open({ path, root, shortSide, range, split }, index) {
    const { files, places } = index;
    const valueAt = pageReader(index);
    const fact = (name: (typeof rowNames)[number] | "file", i: number) => places[name]![i]!;
    return openIndexed(index, {
      name: path,
      split,
      splitHelp: archiveSplitHelp,
      window: Math.max(1, Math.floor(mixedBytes / bytesPerImage(index))),
      async load(i, hint) {
        const id = idOf(index, i);
        const isNamed = fact("named", i) === 1;
        const byPath = () => {
          const folder = resolve(root ?? dirname(files[fact("file", i)]!));
          return readNamed(folder, nameOf(index, i).subarray(fact("prefix", i)), id, { shortSide, range }, hint);
        };
        if (isNamed && forms[fact("form", i)] === "path") return byPath();
        const value = valueAt(i);
        if (isNamed && (await value.then(isMissing, () => false))) return byPath();
        return readImage(
          value.then((found) => bytesOf(found, forms[fact("form", i)]!)),
          id,
          { shortSide, range },
          hint,
        );
      },
    });
  },
};

/** What is said of many files, once: a data set may have hundreds. */
function together(notes: readonly string[], names: readonly string[]): string[] {
  const groups = new Map<string, { first: string; more: number }>();
  for (const note of notes) {
    const file = names.find((name) => note.includes(name));
    const key = file === undefined ? note : note.replaceAll(file, "");
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { first: note, more: 0 });
    else group.more++;
  }
  return [...groups.values()].map(({ first, more }) =>
    more === 0 ? first : `${first} (and ${more.toLocaleString("en")} more file${more === 1 ? "" : "s"} alike)`,
  );
}

/** How a row gives its image: as bytes, else by the file of its name; as these bytes in base64; by the file of its name. */
const forms = ["bytes", "base64", "path"] as const satisfies readonly Form[];

const isMissing = (value: Value | undefined): boolean => !(value instanceof Uint8Array) || value.length === 0;

function bytesOf(value: Value | undefined, form: Form): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length === 0) throw new Error("its row has no image");
  return form === "base64" ? fromBase64(value) : value;
}

/** What an index has of a row: bytes of its name that are not its own, whether that is a path, and which form. */
const rowNames = ["prefix", "named", "form"] as const;

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

/** What the labels say. Without names of all classes they are the different labels, of which one alone is none. */
function factsOf(labels: readonly (string | undefined)[], classes: readonly string[]) {
  const names = new LabelNames();
  const known = new Set(classes);
  // of a file without names beside others that have them
  const nameOf = (label: string) =>
    known.has(label) ? label : /^\d{1,9}$/.test(label) ? classes[Number(label)] : undefined;
  for (const label of labels) names.push(label === undefined || known.size === 0 ? label : nameOf(label));
  if (names.size === 0) return {};
  return names.facts(known.size === 0 ? undefined : classes);
}

/** Pages without a value that are looked at. */
const mostEmptyPages = 16;

/** Whether the images are not in the file, but where it says. */
async function isElsewhere(file: Bytes, footer: ParquetFile, { form, values, paths }: ImageColumn): Promise<boolean> {
  if (form === "path") return true;
  let pages = 0;
  for await (const page of footer.pages(values)) {
    const found = await readPage(file, page, values.type);
    if (found.some((value) => !isMissing(value))) return false;
    if (++pages === mostEmptyPages) break;
  }
  return paths !== undefined && pages > 0;
}

/** Throws one sentence when none of the images is there. */
async function checkPaths({ name }: Bytes, folder: string, paths: readonly (Uint8Array | undefined)[]): Promise<void> {
  const rows = paths.flatMap((path, row) => (path === undefined ? [] : row));
  if (rows.length === 0) throw new Error(`${name} has neither bytes nor paths of images in its rows`);
  const named = { length: rows.length, name: (i: number) => paths[rows[i]!]!, where: (i: number) => `row ${rows[i]}` };
  await checkNamed(resolve(folder), named, name);
}

/** Text that all rows together may have beyond what the file has: a dictionary may repeat a long one any number of times. */
const mostText = 2 ** 28;

/** A column of paths, as bytes. Where it cannot be read, images are called by their rows, and `notes` has it. */
async function pathsOf(
  file: Bytes,
  footer: ParquetFile,
  column: ParquetColumn,
  notes: string[],
): Promise<(Uint8Array | undefined)[]> {
  const paths: (Uint8Array | undefined)[] = [];
  let left = Math.max(mostText, 16 * file.size);
  try {
    for await (const page of footer.pages(column))
      for (const value of await readPage(file, page, column.type)) {
        const path = value instanceof Uint8Array && value.length > 0 ? value : undefined;
        left -= path?.length ?? 0;
        if (left < 0) throw new Error(`its ${shown(column.path.join("."))} are longer than what is read`);
        paths.push(path);
      }
    return paths;
  } catch (error) {
    notes.push(`images are called by their rows: ${(error as Error).message}`);
    return [];
  }
}
