/**
 * The part of Parquet that data sets of images use: columns without lists, of bytes, text, numbers or booleans, read a
 * page at a time. https://parquet.apache.org/docs/file-format describes the format. hyparquet reads the footer and the headers of
 * pages, after a look over them (thrift.ts); pages are decoded here, because every length in them has to be checked
 * before it is believed, and a page is all that an image needs.
 */
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { type FileMetaData, parquetMetadata, type PageHeader, type SchemaElement, snappyUncompress } from "hyparquet";
import { parquetHeader } from "hyparquet/src/column.js";
import { decompressLz4, decompressLz4Raw, decompressZstd } from "hyparquet-compressors";
import { shown } from "../../tensor/text.ts";
import { fromFloat16 } from "../../tensor/half.ts";
import { type Bytes, forwards } from "./positioned.ts";
import { endOfStruct } from "./thrift.ts";

export interface ParquetFile {
  readonly rows: number;
  readonly columns: readonly ParquetColumn[];
  /** What writers add, such as `huggingface`. */
  readonly notes: ReadonlyMap<string, string>;
  /** The pages of a column, in order; together they have all rows. */
  pages(column: ParquetColumn): AsyncGenerator<Page>;
}

/** A column that holds values, which may be a field of a struct. */
export interface ParquetColumn {
  readonly index: number;
  /** Its name, behind those of the structs it is in. */
  readonly path: readonly string[];
  readonly type: string;
  /** What the values mean, where the type alone does not say it: `STRING`, `TIMESTAMP`, `UINT_8`. */
  readonly meaning?: string;
  /** How many of these may be missing; a value has this definition level, a missing one a lower. */
  readonly levels: number;
  /** In a list, or one itself: a row may have any number of values. */
  readonly isList: boolean;
  /** How many lists it is in. */
  readonly depth: number;
}

/** Where a page lies with its header, and how it is to be read: all plain numbers. */
export interface Page {
  readonly offset: number;
  readonly size: number;
  /** Of the dictionary that its values may point into; 0 and 0 without. */
  readonly dictionaryOffset: number;
  readonly dictionarySize: number;
  /** Index into `codecs`. */
  readonly codec: number;
  /** Those of the column. */
  readonly levels: number;
  /** Of a list its values, and one for each list that is missing or empty. */
  readonly rows: number;
}

const codecs = ["UNCOMPRESSED", "SNAPPY", "GZIP", "BROTLI", "ZSTD", "LZ4_RAW", "LZ4"] as const;

/** What the values of a column are, for messages: `list of float`. */
export function typeOf({ type, meaning, isList }: ParquetColumn): string {
  const names: Readonly<Record<string, string>> = { STRING: "text", BYTE_ARRAY: "bytes", BOOLEAN: "true or false" };
  const name = names[meaning ?? type] ?? (meaning ?? type).toLowerCase();
  return isList ? `list of ${name}` : name;
}

/** Whether values of this type are read. */
export const isRead = (type: string): boolean => type === "BYTE_ARRAY" || Object.hasOwn(bitsOf, type);

const encodings: ReadonlySet<string> = new Set(["PLAIN", "PLAIN_DICTIONARY", "RLE_DICTIONARY"]);

const mostFooterBytes = 2 ** 24;
const mostDepth = 16;
/** A page is held as a whole. Writers aim at 1 MB, but look only after so many rows how large it has become. */
const mostPageBytes = 2 ** 28;
const mostPageRows = 2 ** 22;
/** Rows that a file may have whatever its size: those that are all alike take next to no bytes. */
const mostRows = 2 ** 22;
/** No deflated byte stands for more; images are compressed already, and labels are few. */
const mostInflation = 1032;

/** Reads the footer. Throws one sentence when the file is damaged or something else. */
export async function readFooter(file: Bytes): Promise<ParquetFile> {
  const { name, size } = file;
  const tail = size < 12 ? Buffer.alloc(8) : await file.read(size - 8, 8);
  const magic = tail.toString("latin1", 4);
  if (magic === "PARE") throw new Error(`${name} is encrypted, which is not read`);
  if (magic !== "PAR1")
    throw new Error(`${name} is no Parquet file, or cut off: it does not end in PAR1; copy it again`);
  const length = tail.readUInt32LE(0);
  const end = size - 8 - length;
  if (end < 4) throw damage(name, `its footer of ${length} bytes is longer than the file`);
  if (length > mostFooterBytes)
    throw new Error(`${name} has a footer of ${length} bytes, more than the ${mostFooterBytes} that are read`);
  const footer = await file.read(end, length + 8);
  const { metadata, columns, notes } = checked(name, () => {
    endOfStruct(footer.subarray(0, length));
    const found = parquetMetadata(footer, { geoparquet: false });
    const pairs = found.key_value_metadata?.map(({ key, value }) => [key, value ?? ""] as const);
    return { metadata: found, columns: columnsOf(found.schema), notes: new Map(pairs) };
  });
  const rows = metadata.row_groups.reduce((sum, group) => sum + count(name, group.num_rows, "rows"), 0);
  if (rows > Math.max(size, mostRows)) throw damage(name, `it says it has ${rows} rows in ${size} bytes`);
  return { rows, columns, notes, pages: (column) => pagesOf(file, metadata, column, end) };
}

/** The columns of a schema that hold values. Throws half a sentence when it is damaged. */
function columnsOf(schema: FileMetaData["schema"]): ParquetColumn[] {
  const found: ParquetColumn[] = [];
  let next = 1;
  function visit(children: number | undefined, path: readonly string[], levels: number, depth: number): void {
    if (path.length > mostDepth) throw new Error("its schema is nested too deep");
    for (let i = 0; i < (children ?? 0); i++) {
      const element = schema[next++];
      if (element === undefined) throw new Error("its schema ends early");
      const { name, num_children, repetition_type = "REQUIRED", type } = element;
      if (typeof name !== "string") throw new Error("a column has no name");
      const meaning = meaningOf(element);
      const here = [...path, name];
      const level = levels + (repetition_type === "REQUIRED" ? 0 : 1);
      const lists = depth + (repetition_type === "REPEATED" ? 1 : 0);
      if (type === undefined) visit(num_children, here, level, lists);
      else
        found.push({
          index: found.length,
          path: here,
          type,
          ...meaning,
          levels: level,
          isList: lists > 0,
          depth: lists,
        });
    }
  }
  visit(schema[0]?.num_children, [], 0, 0);
  return found;
}

function meaningOf({ logical_type, converted_type }: SchemaElement): Pick<ParquetColumn, "meaning"> {
  if (logical_type?.type === "INTEGER")
    return { meaning: `${logical_type.isSigned ? "INT" : "UINT"}_${logical_type.bitWidth}` };
  if (logical_type?.type === "STRING" || converted_type === "UTF8") return { meaning: "STRING" };
  const meaning = logical_type?.type ?? converted_type;
  return meaning === undefined ? {} : { meaning };
}

async function* pagesOf(
  file: Bytes,
  { row_groups }: FileMetaData,
  { index, path, type, levels, isList }: ParquetColumn,
  dataEnd: number,
): AsyncGenerator<Page> {
  const { name } = file;
  const label = shown(path.join("."));
  const read = forwards(file);
  for (const group of row_groups) {
    const rows = count(name, group.num_rows, "rows");
    if (rows === 0) continue;
    const chunk = group.columns[index];
    const meta = chunk?.meta_data;
    if (chunk === undefined || meta === undefined || chunk.crypto_metadata !== undefined)
      throw new Error(`${name} has a column ${label} that is encrypted or damaged`);
    if (chunk.file_path) throw new Error(`${name} keeps its column ${label} in another file, which is not read`);
    if (meta.path_in_schema?.join("\n") !== path.join("\n")) throw damage(name, `a row group has no column ${label}`);
    const codec = codecs.findIndex((known) => known === meta.codec);
    if (codec === -1) throw new Error(`${name} is compressed with ${meta.codec}, which is not read`);
    // The dictionary comes first, if there is one; some writers count it as the first page.
    const starts = [meta.dictionary_page_offset, meta.data_page_offset].map((at) => count(name, at ?? 0, "offset"));
    let at = Math.min(...starts.filter((start) => start > 0));
    const end = at + count(name, meta.total_compressed_size, "size");
    if (!(at >= 4 && end <= dataEnd)) throw damage(name, `the column ${label} does not lie within it`);

    let [dictionaryOffset, dictionarySize] = [0, 0];
    let left = isList ? count(name, meta.num_values, "values") : rows;
    while (at < end && left > 0) {
      const header = await headerAt(name, read, at, end);
      const size = header.size + header.compressed;
      if (at + size > end) throw damage(name, `a page of ${label} is longer than the column`);
      if (header.type === "DICTIONARY_PAGE") [dictionaryOffset, dictionarySize] = [at, size];
      else if (header.type === "DATA_PAGE" || header.type === "DATA_PAGE_V2") {
        if (header.values === 0 || header.values > left)
          throw damage(name, `a page of ${label} says it has ${header.values} values, and the row group ${left} more`);
        const { encoding = "?" } = header.whole.data_page_header ?? header.whole.data_page_header_v2 ?? {};
        if (!encodings.has(encoding) && !(encoding === "RLE" && type === "BOOLEAN"))
          throw new Error(
            `${name} has the values of ${label} coded as ${encoding}, which is not read: write them PLAIN`,
          );
        yield { offset: at, size, dictionaryOffset, dictionarySize, codec, levels, rows: header.values };
        left -= header.values;
      }
      at += size;
    }
    if (left > 0) throw damage(name, `the column ${label} lacks ${left} values`);
  }
}

/** What is used of a page's header, checked. */
interface Header {
  readonly type: string;
  /** Bytes of the header, and of the page behind it as it lies in the file and unpacked. */
  readonly size: number;
  readonly compressed: number;
  readonly uncompressed: number;
  readonly values: number;
  readonly whole: PageHeader;
}

/** Reads little at first: only statistics of long texts make a header long. */
async function headerAt(
  name: string,
  read: (offset: number, length: number) => Promise<Buffer>,
  at: number,
  end: number,
): Promise<Header> {
  for (const length of [2 ** 8, 2 ** 18]) {
    const bytes = await read(at, Math.min(length, end - at));
    try {
      endOfStruct(bytes);
    } catch (error) {
      if (error instanceof RangeError && bytes.length === length) continue;
    }
    return checked(name, () => header(name, bytes));
  }
  throw damage(name, `the header of a page has no end (byte ${at})`);
}

function header(name: string, bytes: Buffer): Header {
  const size = endOfStruct(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, size);
  const whole = parquetHeader({ view, offset: 0 });
  const { type, data_page_header: v1, data_page_header_v2: v2, dictionary_page_header: dictionary } = whole;
  const compressed = count(name, whole.compressed_page_size, "bytes in a page");
  const uncompressed = count(name, whole.uncompressed_page_size, "bytes in a page");
  if (uncompressed > mostPageBytes)
    throw new Error(
      `${name} has a page of ${uncompressed} bytes, more than the ${mostPageBytes} that are read at a time: ` +
        `write it again with smaller row groups`,
    );
  if (uncompressed > 2 ** 20 + mostInflation * compressed)
    throw damage(name, `a page says it becomes ${uncompressed} bytes from ${compressed}`);
  const values = count(name, (v1 ?? v2 ?? dictionary)?.num_values ?? 0, "values in a page");
  if (values > mostPageRows) throw new Error(`${name} has a page of ${values} rows, more than ${mostPageRows}`);
  return { type, size, compressed, uncompressed, values, whole };
}

/** Of INT64 a bigint where a number would be inexact. */
export type Value = Uint8Array | number | bigint | boolean;

/** The values in a page of a column of this type; undefined where one is missing. They may share memory. */
export async function readPage(file: Bytes, page: Page, type: string): Promise<(Value | undefined)[]> {
  const { values } = await readEntries(file, page, type, false);
  return values;
}

/** The same of a column in one list: `starts` says where rows begin, and where a value is missing so may the list be. */
export async function readListPage(
  file: Bytes,
  page: Page,
  type: string,
): Promise<{ values: (Value | undefined)[]; starts: readonly boolean[] }> {
  const { values, repetitions } = await readEntries(file, page, type, true);
  return { values, starts: Array.from(repetitions, (level) => level === 0) };
}

async function readEntries(
  file: Bytes,
  page: Page,
  type: string,
  isList: boolean,
): Promise<{ values: (Value | undefined)[]; repetitions: Uint32Array }> {
  const { name } = file;
  const { codec, levels, rows } = page;
  const bytes = await file.read(page.offset, page.size);
  const dictionaryBytes =
    page.dictionarySize > 0 ? await file.read(page.dictionaryOffset, page.dictionarySize) : undefined;
  return checked(name, () => {
    const head = header(name, bytes);
    const { data_page_header: v1, data_page_header_v2: v2 } = head.whole;
    if (head.values !== rows) throw new Error(`a page has ${head.values} rows where ${rows} were`);
    const packed = bytes.subarray(head.size, head.size + head.compressed);
    let present: Uint32Array;
    let repetitions: Uint32Array = new Uint32Array(0);
    let body: Uint8Array;
    let encoding: string | undefined;
    if (v2 !== undefined) {
      // Levels come first and are never compressed.
      const [repetition, definition] = [v2.repetition_levels_byte_length, v2.definition_levels_byte_length];
      const start = count(name, repetition, "bytes") + count(name, definition, "bytes");
      if (start > packed.length || start > head.uncompressed) throw new Error("the levels of a page do not fit in it");
      if (isList) repetitions = runs(packed.subarray(0, repetition), 1, rows);
      present = definitions(packed.subarray(repetition, start), levels, rows);
      const rest = packed.subarray(start);
      body = v2.is_compressed === false ? rest : unpack(rest, head.uncompressed - start, codec);
      encoding = v2.encoding;
    } else {
      body = unpack(packed, head.uncompressed, codec);
      const takeLevels = (): Uint8Array => {
        if (v1?.definition_level_encoding !== "RLE") throw new Error("the levels of a page are coded in an old way");
        const end = body.length < 4 ? Infinity : 4 + view(body).getUint32(0, true);
        if (end > body.length) throw new Error("the levels of a page do not fit in it");
        const taken = body.subarray(4, end);
        body = body.subarray(end);
        return taken;
      };
      if (isList) repetitions = runs(takeLevels(), 1, rows);
      present = definitions(levels > 0 ? takeLevels() : body, levels, rows);
      encoding = v1?.encoding;
    }
    const total = levels === 0 ? rows : present.reduce((sum, level) => sum + (level === levels ? 1 : 0), 0);
    let values: ArrayLike<Value>;
    if (encoding === "PLAIN") values = plain(body, type, total);
    else if (encoding === "RLE" && type === "BOOLEAN")
      values = Array.from(runs(body.subarray(4), 1, total), (bit) => bit === 1); // behind their length
    else if (encoding === "RLE_DICTIONARY" || encoding === "PLAIN_DICTIONARY") {
      if (dictionaryBytes === undefined) throw new Error("a page needs a dictionary, and there is none");
      values = lookUp(dictionary(name, dictionaryBytes, type, codec), body, total);
    } else throw new Error(`values are coded as ${encoding}`);
    if (levels === 0) return { values: Array.from(values), repetitions };
    let next = 0;
    return { values: Array.from(present, (level) => (level === levels ? values[next++] : undefined)), repetitions };
  });
}

/** The definition level of each row; empty when none can be missing. */
function definitions(bytes: Uint8Array, levels: number, rows: number): Uint32Array {
  return levels === 0 ? new Uint32Array(0) : runs(bytes, 32 - Math.clz32(levels), rows);
}

function dictionary(name: string, bytes: Buffer, type: string, codec: number): ArrayLike<Value> {
  const { size, compressed, uncompressed, values } = header(name, bytes);
  return plain(unpack(bytes.subarray(size, size + compressed), uncompressed, codec), type, values);
}

function lookUp(dictionary: ArrayLike<Value>, body: Uint8Array, total: number): Value[] {
  if (total === 0) return [];
  const indices = runs(body.subarray(1), body[0] ?? 0, total);
  return Array.from(indices, (index) => {
    if (index >= dictionary.length)
      throw new Error(`a value is number ${index} of ${dictionary.length} in its dictionary`);
    return dictionary[index]!;
  });
}

/** Parquet's mixture of repeated and bit-packed numbers of `width` bits. */
function runs(bytes: Uint8Array, width: number, total: number): Uint32Array {
  const values = new Uint32Array(total);
  if (width > 32) throw new Error(`numbers of ${width} bits`);
  if (width === 0) return values;
  let at = 0;
  const byte = () => {
    if (at >= bytes.length) throw new Error("a page ends early");
    return bytes[at++]!;
  };
  for (let done = 0; done < total;) {
    let head = 0;
    for (let shift = 0, more = true; more; shift += 7) {
      const next = byte();
      head += (next & 0x7f) * 2 ** shift;
      more = next >= 0x80 && shift < 28;
    }
    const isPacked = head % 2 === 1;
    const length = Math.min(Math.floor(head / 2) * (isPacked ? 8 : 1), total - done);
    if (isPacked) {
      const start = at;
      at += Math.floor(head / 2) * width;
      if (start + Math.ceil((length * width) / 8) > bytes.length) throw new Error("a page ends early");
      for (let i = 0, bit = 0; i < length; i++) {
        let value = 0;
        for (let b = 0; b < width; b++, bit++) value += ((bytes[start + (bit >> 3)]! >> (bit & 7)) & 1) * 2 ** b;
        values[done + i] = value;
      }
    } else {
      let value = 0;
      for (let shift = 0; shift < width; shift += 8) value += byte() * 2 ** shift;
      values.fill(value, done, done + length);
    }
    done += length;
  }
  return values;
}

function plain(bytes: Uint8Array, type: string, total: number): ArrayLike<Value> {
  if (type === "BYTE_ARRAY") return byteArrays(bytes, total);
  const numbers = view(bytes);
  const bits = bitsOf[type];
  if (bits === undefined) throw new Error(`values are of type ${type}`);
  if (total * bits > 8 * bytes.length) throw new Error("a page ends early");
  const each = (read: (i: number) => Value) => Array.from({ length: total }, (_, i) => read(i));
  if (type === "BOOLEAN") return each((i) => ((bytes[i >> 3]! >> (i & 7)) & 1) === 1);
  if (type === "FLOAT16") {
    const halves = fromFloat16(Uint16Array.from({ length: total }, (_, i) => numbers.getUint16(2 * i, true)));
    return each((i) => halves[i]!);
  }
  if (type === "INT32") return each((i) => numbers.getInt32(4 * i, true));
  if (type === "FLOAT") return each((i) => numbers.getFloat32(4 * i, true));
  if (type === "DOUBLE") return each((i) => numbers.getFloat64(8 * i, true));
  return each((i) => {
    const whole = numbers.getBigInt64(8 * i, true);
    return Number.isSafeInteger(Number(whole)) ? Number(whole) : whole;
  });
}

/** Types of values that are read, and how many bits each takes. Half floats are known by their meaning. */
const bitsOf: Readonly<Record<string, number>> = {
  BOOLEAN: 1,
  INT32: 32,
  INT64: 64,
  FLOAT16: 16,
  FLOAT: 32,
  DOUBLE: 64,
};

function byteArrays(bytes: Uint8Array, total: number): Uint8Array[] {
  if (total * 4 > bytes.length) throw new Error("a page ends early");
  const lengths = view(bytes);
  let at = 0;
  return Array.from({ length: total }, () => {
    const start = at + 4;
    at = start + lengths.getUint32(at, true);
    if (at > bytes.length) throw new Error("a page ends early");
    return bytes.subarray(start, at);
  });
}

/** The `size` bytes that these become; never more memory than that. */
function unpack(bytes: Uint8Array, size: number, codec: number): Uint8Array {
  const name = codecs[codec];
  let unpacked = bytes;
  // a copy of Snappy's is at most 64 bytes and takes three
  if (name === "SNAPPY" && size > 22 * bytes.length) throw new Error(`a page cannot become ${size} bytes`);
  if (name === "SNAPPY") snappyUncompress(bytes, (unpacked = new Uint8Array(size)));
  else if (name === "ZSTD") unpacked = decompressZstd(bytes, new Uint8Array(size));
  else if (name === "LZ4_RAW") unpacked = decompressLz4Raw(bytes, size);
  else if (name === "LZ4") unpacked = decompressLz4(bytes, size);
  // Zero is no limit to these.
  else if (name === "GZIP") unpacked = gunzipSync(bytes, { maxOutputLength: Math.max(size, 1) });
  else if (name === "BROTLI") unpacked = brotliDecompressSync(bytes, { maxOutputLength: Math.max(size, 1) });
  if (unpacked.length !== size) throw new Error(`a page becomes ${unpacked.length} bytes, not ${size}`);
  return unpacked;
}

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A number that a file says of itself. */
function count(name: string, value: number | bigint | undefined, what: string): number {
  const number = Number(value);
  if (!(Number.isSafeInteger(number) && number >= 0)) throw damage(name, `${shown(String(value))} ${what}`);
  return number;
}

/** What `parse` gives. Whatever it throws, the caller gets one sentence that names the file. */
function checked<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    const { message } = error as Error;
    if (message.startsWith(name)) throw error;
    throw damage(name, shown(message));
  }
}

function damage(name: string, what: string): Error {
  return new Error(`${name} is damaged or not made for this: ${what}`);
}
