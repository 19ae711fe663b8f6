/** Features as Parquet: columns `path`, `label` (where there are classes) and `feature`, a list of float32. */
import { closeSync } from "node:fs";
import {
  isRead,
  type ParquetColumn,
  type ParquetFile,
  readFooter,
  readListPage,
  readPage,
  typeOf,
} from "../data/formats/parquet-file.ts";
import type { Bytes } from "../data/formats/positioned.ts";
import { shown } from "../tensor/text.ts";
import type { SchemaElement } from "hyparquet";
import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import {
  beginFile,
  type FeaturesFile,
  type FeaturesPart,
  type FeaturesTable,
  type FeaturesWriter,
  parseOrigin,
  readBytes,
} from "./features.ts";

/** Key of the metadata that says how features were made, as JSON. */
const originKey = "layergraft";

/** Numbers in a row group, about: what is held until it is written. */
const groupNumbers = 2 ** 20;

export function createParquet(path: string, { width, labelled, origin }: FeaturesTable): FeaturesWriter {
  const file = beginFile(path);
  const bytes = new ByteWriter();
  const flush = () => {
    file.write(bytes.getBytes());
    bytes.index = 0;
  };
  const parquet = new ParquetWriter({
    writer: Object.assign(bytes, { flush, finish: flush }),
    schema: schemaOf(labelled),
    kvMetadata: [{ key: originKey, value: JSON.stringify(origin) }],
    createdBy: `layergraft version ${origin.layergraft}`,
  });
  const groupRows = Math.max(1, Math.floor(groupNumbers / width));
  let [names, labels, features]: [string[], (string | null)[], number[][]] = [[], [], []];
  const writeGroup = () => {
    const columnData = [
      { name: "path", data: names },
      ...(labelled ? [{ name: "label", data: labels }] : []),
      // Numbers of a network neither repeat nor compress.
      {
        name: "feature",
        data: features,
        encoding: "PLAIN" as const,
        codec: "UNCOMPRESSED" as const,
        statistics: false,
      },
    ];
    void parquet.write({ columnData, rowGroupSize: names.length }); // nothing to wait for: `flush` is synchronous
    [names, labels, features] = [[], [], []];
  };
  return {
    append(part) {
      for (const [i, name] of part.names.entries()) {
        names.push(name);
        labels.push(part.labels[i] ?? null);
        features.push(Array.from(part.rows.subarray(i * width, (i + 1) * width)));
        if (names.length === groupRows) writeGroup();
      }
    },
    commit() {
      if (names.length > 0) writeGroup();
      void parquet.finish();
      file.commit();
    },
    discard: () => file.discard(),
  };
}

function schemaOf(labelled: boolean): SchemaElement[] {
  const text = { type: "BYTE_ARRAY", converted_type: "UTF8", logical_type: { type: "STRING" } } as const;
  return [
    { name: "schema", num_children: labelled ? 3 : 2 },
    { name: "path", ...text, repetition_type: "REQUIRED" },
    ...(labelled ? [{ name: "label", ...text, repetition_type: "OPTIONAL" } as const] : []),
    {
      name: "feature",
      repetition_type: "REQUIRED",
      num_children: 1,
      converted_type: "LIST",
      logical_type: { type: "LIST" },
    },
    { name: "list", repetition_type: "REPEATED", num_children: 1 },
    { name: "element", type: "FLOAT", repetition_type: "REQUIRED" },
  ];
}

/**
 * Opens any Parquet file with a column of lists of floats, all of one length: that of the name `asked`, else `feature`, else
 * the only one. Columns with names and labels are used where they are there, and else rows are called by number. Throws half
 * a sentence, to go after the path.
 */
export async function openParquet(path: string, file: number, size: number, asked?: string): Promise<FeaturesFile> {
  const bytes: Bytes = {
    name: "it",
    size,
    async read(offset, length) {
      if (!(offset >= 0 && length >= 0 && offset + length <= size))
        throw new Error("it is damaged or cut off: it points to bytes that it does not have");
      return Buffer.from(readBytes(file, offset, offset + length).buffer);
    },
  };
  const footer = await readFooter(bytes);
  const columns = columnsIn(footer, asked);
  const width = await widthOf();

  /** The lists of numbers, one for each row; undefined for a missing or an empty one. */
  async function* lists(): AsyncGenerator<readonly (number | undefined)[] | undefined> {
    const { feature } = columns;
    let list: (number | undefined)[] | undefined;
    for await (const page of footer.pages(feature)) {
      const { values, starts } = await readListPage(bytes, page, feature.meaning ?? feature.type);
      for (const [i, value] of values.entries()) {
        if (starts[i] === true) {
          if (list !== undefined) yield isMissing(list) ? undefined : list;
          list = [];
        }
        list?.push(value as number | undefined);
        if (list !== undefined && list.length > longest) throw new Error(`a row has more than ${longest} numbers`);
      }
    }
    if (list !== undefined) yield isMissing(list) ? undefined : list;
  }

  async function widthOf(): Promise<number> {
    for await (const list of lists()) if (list !== undefined) return list.length;
    if (footer.rows === 0) return 0;
    throw new Error(`its column ${shown(columns.feature.path[0]!)} has no list of numbers in any row`);
  }

  async function* texts(column: ParquetColumn | undefined): AsyncGenerator<string | undefined> {
    if (column === undefined) return;
    for await (const page of footer.pages(column))
      for (const value of await readPage(bytes, page, column.type))
        yield value instanceof Uint8Array ? Buffer.from(value).toString() : value?.toString();
  }

  return {
    path,
    count: footer.rows,
    width,
    origin: parseOrigin(path, footer.notes.get(originKey)),
    async *parts() {
      const [names, labels] = [texts(columns.name), texts(columns.label)];
      const most = Math.max(1, Math.floor(groupNumbers / Math.max(width, 1)));
      let part = emptyPart();
      let row = 0;
      for await (const list of lists()) {
        if (list !== undefined && list.length !== width)
          throw new Error(`row ${row} has ${list.length} numbers where others have ${width}`);
        if (list?.includes(undefined)) throw new Error(`row ${row} is not a list of ${width} floats`);
        part.lists.push(list as readonly number[] | undefined);
        part.names.push((await names.next()).value ?? `row ${row}`);
        part.labels.push((await labels.next()).value ?? undefined);
        row++;
        if (part.lists.length < most) continue;
        yield partOf(part, width);
        part = emptyPart();
      }
      if (row !== footer.rows) throw new Error(`it has ${row} rows in its column of features, not ${footer.rows}`);
      if (part.lists.length > 0) yield partOf(part, width);
    },
    close: () => closeSync(file),
  };
}

/** A row has no more numbers than this. */
const longest = 2 ** 22;

const isMissing = (list: readonly (number | undefined)[]) => list.length === 1 && list[0] === undefined;

interface Rows {
  readonly lists: (readonly number[] | undefined)[];
  readonly names: string[];
  readonly labels: (string | undefined)[];
}

const emptyPart = (): Rows => ({ lists: [], names: [], labels: [] });

function partOf({ lists, names, labels }: Rows, width: number): FeaturesPart {
  const rows = new Float32Array(lists.length * width).fill(Number.NaN);
  for (const [i, list] of lists.entries()) if (list !== undefined) rows.set(list, i * width);
  return { rows, names, labels };
}

interface Columns {
  readonly feature: ParquetColumn;
  readonly name?: ParquetColumn | undefined;
  readonly label?: ParquetColumn | undefined;
}

/** What columns of names are mostly called, the likeliest first. */
const usualNames = ["path", "file_name", "filename", "file_path", "image_path", "file", "name", "id"];

const floats = new Set(["FLOAT", "DOUBLE", "FLOAT16"]);

function columnsIn({ columns: all }: ParquetFile, asked: string | undefined): Columns {
  const lists = all.filter(
    ({ path, type, meaning, depth }) => depth === 1 && path.length === 3 && floats.has(meaning ?? type),
  );
  const found = lists.filter(({ path }) => path[0] === (asked ?? "feature"));
  const [feature, ...others] = found.length > 0 || asked !== undefined ? found : lists;
  if (feature === undefined) {
    const list = all.slice(0, 12).map((column) => `${shown(column.path[0]!)} (${typeOf(column)})`);
    const what = asked === undefined ? "" : ` ${shown(asked)}`;
    throw new Error(`it has no column${what} of lists of floats, but: ${list.join(", ")}`);
  }
  if (others.length > 0) {
    const list = lists.map(({ path }) => shown(path[0]!)).join(", ");
    throw new Error(`it has several columns of lists of floats: ${list}; say which one with --column`);
  }
  const plain = (name: string) =>
    all.find(({ path, type, isList }) => path.length === 1 && path[0] === name && !isList && isRead(type));
  return { feature, name: usualNames.flatMap((name) => plain(name) ?? [])[0], label: plain("label") };
}
