/** Features as Parquet: columns `path`, `label` (where there are classes) and `feature`, a list of float32. */
import { closeSync } from "node:fs";
import { columnsOf, typeOf } from "../data/formats/parquet-file.ts";
import { shown } from "../tensor/text.ts";
import { type FileMetaData, parquetMetadataAsync, parquetReadObjects, type SchemaElement } from "hyparquet";
import { parquetHeader } from "hyparquet/src/column.js";
import { compressors } from "hyparquet-compressors";
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

/** Most numbers, and most bytes, in a row group that is read: it is in memory as a whole. */
const largest = { numbers: 2 ** 26, bytes: 2 ** 29 };

/**
 * Opens any Parquet file with a column of lists of floats, all of one length: that of the name `asked`, else `feature`, else
 * the only one. Columns with names and labels are used where they are there, and else rows are called by number. Throws half
 * a sentence, to go after the path.
 */
export async function openParquet(path: string, file: number, size: number, asked?: string): Promise<FeaturesFile> {
  const buffer = {
    byteLength: size,
    slice(start: number, end = size) {
      if (!(start >= 0 && start <= end && end <= size)) throw new Error("it points to bytes that it does not have");
      return readBytes(file, start, end).buffer;
    },
  };
  const metadata = await parquetMetadataAsync(buffer);
  const columns = columnsIn(metadata, asked);
  const groups = groupsOf(metadata, columns);

  /** One column at a time: of several, hyparquet would report one failure and let the others end the process. */
  async function column({ first, rows, chunks }: Group, name: string | undefined): Promise<readonly unknown[]> {
    const chunk = name === undefined ? undefined : chunks.get(name);
    if (name === undefined || chunk === undefined) return Array.from({ length: rows });
    checkPages(new DataView(buffer.slice(chunk.start, chunk.end)));
    const range = { rowStart: first, rowEnd: first + rows };
    const found = await parquetReadObjects({ file: buffer, metadata, columns: [name], compressors, ...range });
    if (found.length !== rows) throw new Error(`it has ${found.length} rows from row ${first} on, not ${rows}`);
    return found.map((row) => row[name] as unknown);
  }

  /** The length of the first list. Of most files a few rows tell it. */
  async function widthOf(): Promise<number> {
    for (const group of groups)
      for (const rows of [Math.min(few, group.rows), group.rows])
        for (const list of await column({ ...group, rows }, columns.feature))
          if (Array.isArray(list) && list.length > 0) return list.length;
    if (groups.length === 0) return 0;
    throw new Error(`its column ${shown(columns.feature)} has no list of numbers in any row`);
  }
  const width = await widthOf();
  for (const { rows } of groups) checkHeld(rows * width, rows);

  async function read(group: Group): Promise<FeaturesPart> {
    const rows = new Float32Array(group.rows * width);
    for (const [i, list] of (await column(group, columns.feature)).entries()) {
      const row = `row ${group.first + i}`;
      if (list === null || list === undefined || (Array.isArray(list) && list.length === 0)) {
        rows.fill(Number.NaN, i * width, (i + 1) * width);
        continue;
      }
      if (Array.isArray(list) && list.length !== width)
        throw new Error(`${row} has ${list.length} numbers where others have ${width}`);
      if (!Array.isArray(list) || !list.every((each) => typeof each === "number"))
        throw new Error(`${row} is not a list of ${width} floats`);
      rows.set(list, i * width);
    }
    const names = (await column(group, columns.name)).map((name, i) => textOf(name) ?? `row ${group.first + i}`);
    return { rows, names, labels: (await column(group, columns.label)).map(textOf) };
  }

  return {
    path,
    count: groups.reduce((sum, { rows }) => sum + rows, 0),
    width,
    origin: parseOrigin(path, metadata.key_value_metadata?.find(({ key }) => key === originKey)?.value),
    async *parts() {
      for (const group of groups) yield await read(group);
    },
    close: () => closeSync(file),
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ||
    typeof value === "number" ||
    typeof value === "bigint" ||
    typeof value === "boolean"
    ? String(value)
    : undefined;
}

const few = 16;

interface Columns {
  readonly feature: string;
  readonly name?: string | undefined;
  readonly label?: string | undefined;
}

/** What columns of names are mostly called, the likeliest first. */
const usualNames = ["path", "file_name", "filename", "file_path", "image_path", "file", "name", "id"];

const floats = new Set(["FLOAT", "DOUBLE", "FLOAT16"]);

function columnsIn({ schema }: FileMetaData, asked: string | undefined): Columns {
  const all = columnsOf(schema);
  const lists = all.filter(
    ({ path, type, meaning, isList }) => isList && path.length === 3 && floats.has(meaning ?? type),
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
  const plain = new Set(all.filter(({ path }) => path.length === 1).map(({ path }) => path[0]!));
  return {
    feature: feature.path[0]!,
    name: usualNames.find((name) => plain.has(name)),
    label: plain.has("label") ? "label" : undefined,
  };
}

interface Group {
  /** Its first row. */
  readonly first: number;
  readonly rows: number;
  /** Bytes of the columns that are read. */
  readonly chunks: ReadonlyMap<string, { readonly start: number; readonly end: number }>;
}

/** Row groups, from the metadata alone. */
function groupsOf({ row_groups }: FileMetaData, columns: Columns): Group[] {
  const read = new Set(Object.values(columns));
  let first = 0;
  const groups: Group[] = [];
  for (const { columns: all, num_rows } of row_groups) {
    const rows = Number(num_rows);
    if (rows === 0) continue;
    const found = all
      .flatMap(({ meta_data }) => meta_data ?? [])
      .filter(({ path_in_schema: [name] }) => read.has(name!));
    const numbers = Number(found.find(({ path_in_schema: [name] }) => name === columns.feature)?.num_values);
    if (!(rows > 0 && numbers >= rows))
      throw new Error(`a row group says that it has ${numbers} numbers in ${rows} rows`);
    checkHeld(numbers, rows);
    const chunks = found.map(({ path_in_schema: [name], ...chunk }) => {
      const start = Number(chunk.dictionary_page_offset || chunk.data_page_offset);
      return [name!, { start, end: start + Number(chunk.total_compressed_size) }] as const;
    });
    groups.push({ first, rows, chunks: new Map(chunks) });
    first += rows;
  }
  return groups;
}

/** Throws when a row group has more numbers than are held at once. */
function checkHeld(numbers: number, rows: number): void {
  if (numbers > largest.numbers)
    throw new Error(
      `a row group has ${numbers} numbers, more than the ${largest.numbers} that are held at once; ` +
        `write it with row groups of up to ${Math.floor((largest.numbers * rows) / numbers)} rows`,
    );
}

/** Throws when the pages of a column say that they hold more than is allowed: few bytes can stand for any number of values. */
function checkPages(view: DataView<ArrayBuffer>): void {
  const reader = { view, offset: 0 };
  let [numbers, bytes] = [0, 0];
  while (reader.offset < view.byteLength) {
    const page = parquetHeader(reader);
    const { num_values } = page.data_page_header ?? page.data_page_header_v2 ?? page.dictionary_page_header ?? {};
    if (!(page.compressed_page_size >= 0 && page.uncompressed_page_size >= 0 && (num_values ?? 0) >= 0))
      throw new Error("a page has no size");
    reader.offset += page.compressed_page_size;
    numbers += num_values ?? 0;
    bytes += page.uncompressed_page_size;
    if (numbers > 2 * largest.numbers || bytes > largest.bytes)
      throw new Error(
        `a column of a row group says that it has ${numbers} values in ${bytes} bytes, which is too many`,
      );
  }
}
