/** Features as Parquet: columns `path`, `label` (where there are classes) and `feature`, a list of float32. */
import { closeSync } from "node:fs";
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
 * Opens any Parquet file that has a column `feature` of lists of floats, all of one length; `path` and `label` are used
 * where they are there, and else rows are called by number. Throws half a sentence, to go after the path.
 */
export async function openParquet(path: string, file: number, size: number): Promise<FeaturesFile> {
  const buffer = {
    byteLength: size,
    slice(start: number, end = size) {
      if (!(start >= 0 && start <= end && end <= size)) throw new Error("it points to bytes that it does not have");
      return readBytes(file, start, end).buffer;
    },
  };
  const metadata = await parquetMetadataAsync(buffer);
  const { width, groups } = layoutOf(metadata);

  /** One column at a time: of several, hyparquet would report one failure and let the others end the process. */
  async function column({ first, rows, chunks }: Group, name: string): Promise<readonly unknown[]> {
    const chunk = chunks.get(name);
    if (chunk === undefined) return Array.from({ length: rows });
    checkPages(new DataView(buffer.slice(chunk.start, chunk.end)));
    const range = { rowStart: first, rowEnd: first + rows };
    const found = await parquetReadObjects({ file: buffer, metadata, columns: [name], compressors, ...range });
    if (found.length !== rows) throw new Error(`it has ${found.length} rows from row ${first} on, not ${rows}`);
    return found.map((row) => row[name] as unknown);
  }

  async function read(group: Group): Promise<FeaturesPart> {
    const rows = new Float32Array(group.rows * width);
    for (const [i, list] of (await column(group, "feature")).entries()) {
      if (!Array.isArray(list) || list.length !== width || !list.every((each) => typeof each === "number"))
        throw new Error(`row ${group.first + i} is not a list of ${width} floats`);
      rows.set(list, i * width);
    }
    const texts = async (name: string) =>
      (await column(group, name)).map((each) => (typeof each === "string" ? each : undefined));
    const names = (await texts("path")).map((name, i) => name ?? `row ${group.first + i}`);
    return { rows, names, labels: await texts("label") };
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

interface Group {
  /** Its first row. */
  readonly first: number;
  readonly rows: number;
  /** Bytes of the columns that are read. */
  readonly chunks: ReadonlyMap<string, { readonly start: number; readonly end: number }>;
}

/** Row groups, and the length of the lists, from the metadata alone. */
function layoutOf({ row_groups, schema }: FileMetaData): { width: number; groups: Group[] } {
  let width = 0;
  let first = 0;
  const groups: Group[] = [];
  for (const { columns, num_rows } of row_groups) {
    const rows = Number(num_rows);
    if (rows === 0) continue;
    const found = columns.flatMap(({ meta_data }) => meta_data ?? []);
    const feature = found.find(({ path_in_schema }) => path_in_schema[0] === "feature");
    if (feature === undefined || !["FLOAT", "DOUBLE"].includes(feature.type) || feature.path_in_schema.length !== 3) {
      const names = schema.slice(1, 12).map(({ name }) => name);
      throw new Error(`it has no column feature of lists of floats, but: ${names.join(", ")}`);
    }
    const numbers = Number(feature.num_values);
    if (width === 0) width = Math.floor(numbers / rows);
    if (!(width > 0 && rows > 0 && numbers === rows * width))
      throw new Error(
        `its lists of floats are not all of one length (from row ${first} on: ${numbers} for ${rows} rows)`,
      );
    if (numbers > largest.numbers)
      throw new Error(
        `a row group has ${numbers} numbers, more than the ${largest.numbers} that are held at once; ` +
          `write it with row groups of up to ${Math.floor(largest.numbers / width)} rows`,
      );
    const texts = found.filter(({ path_in_schema: [name, ...more] }) => more.length === 0 && isText(name!));
    const chunks = [feature, ...texts].map(({ path_in_schema: [name], ...chunk }) => {
      const start = Number(chunk.dictionary_page_offset || chunk.data_page_offset);
      return [name!, { start, end: start + Number(chunk.total_compressed_size) }] as const;
    });
    groups.push({ first, rows, chunks: new Map(chunks) });
    first += rows;
  }
  return { width, groups };
}

const isText = (name: string) => name === "path" || name === "label";

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
