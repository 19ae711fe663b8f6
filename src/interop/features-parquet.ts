/** Features as Parquet: columns `path`, `label` (where there are classes) and `feature`, a list of float32. */
import type { FileHandle } from "node:fs/promises";
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
export async function openParquet(path: string, file: FileHandle, size: number): Promise<FeaturesFile> {
  const buffer = {
    byteLength: size,
    async slice(start: number, end = size) {
      if (!(start >= 0 && start <= end && end <= size)) throw new Error("it points to bytes that it does not have");
      return (await readBytes(file, start, end)).buffer;
    },
  };
  const metadata = await parquetMetadataAsync(buffer);
  const { width, groups } = layoutOf(metadata);
  const columns = ["path", "label", "feature"];

  async function read({ first, rows, chunks }: Group): Promise<FeaturesPart> {
    for (const { start, end } of chunks) checkPages(new DataView(await buffer.slice(start, end)));
    const range = { rowStart: first, rowEnd: first + rows };
    const objects = await parquetReadObjects({ file: buffer, metadata, columns, compressors, ...range });
    if (objects.length !== rows) throw new Error(`it has ${objects.length} rows from row ${first} on, not ${rows}`);
    const part = { rows: new Float32Array(rows * width), names: [] as string[], labels: [] as (string | undefined)[] };
    for (const [i, { path: name, label, feature }] of objects.entries()) {
      if (!Array.isArray(feature) || feature.length !== width || !feature.every((each) => typeof each === "number"))
        throw new Error(`row ${first + i} is not a list of ${width} floats`);
      part.rows.set(feature, i * width);
      part.names.push(typeof name === "string" ? name : `row ${first + i}`);
      part.labels.push(typeof label === "string" ? label : undefined);
    }
    return part;
  }

  return {
    path,
    count: groups.reduce((sum, { rows }) => sum + rows, 0),
    width,
    origin: parseOrigin(path, metadata.key_value_metadata?.find(({ key }) => key === originKey)?.value),
    async *parts() {
      for (const group of groups) yield await read(group);
    },
    close: () => file.close(),
  };
}

interface Group {
  /** Its first row. */
  readonly first: number;
  readonly rows: number;
  /** Bytes of the columns that are read. */
  readonly chunks: readonly { readonly start: number; readonly end: number }[];
}

/** Row groups, and the length of the lists, from the metadata alone. */
function layoutOf({ row_groups, schema }: FileMetaData): { width: number; groups: Group[] } {
  let width = 0;
  let first = 0;
  const groups: Group[] = [];
  for (const { columns, num_rows } of row_groups) {
    const rows = Number(num_rows);
    if (rows === 0) continue;
    const used = columns.flatMap(({ meta_data }) =>
      meta_data !== undefined && ["path", "label", "feature"].includes(meta_data.path_in_schema[0]!) ? [meta_data] : [],
    );
    const feature = used.find(({ path_in_schema }) => path_in_schema[0] === "feature");
    if (feature === undefined || !["FLOAT", "DOUBLE"].includes(feature.type) || feature.path_in_schema.length !== 3)
      throw new Error(
        `it has no column feature of lists of floats, but: ${schema
          .slice(1, 12)
          .map(({ name }) => name)
          .join(", ")}`,
      );
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
    const chunks = used.map(({ dictionary_page_offset, data_page_offset, total_compressed_size }) => {
      const start = Number(dictionary_page_offset || data_page_offset);
      return { start, end: start + Number(total_compressed_size) };
    });
    groups.push({ first, rows, chunks });
    first += rows;
  }
  return { width, groups };
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
