/** The labels in a Parquet file, of whatever type they are: what cannot be used is said, and stops nothing. */
import { isUtf8 } from "node:buffer";
import { shown } from "../../tensor/text.ts";
import { isRead, type ParquetColumn, type ParquetFile, readPage, typeOf, type Value } from "../formats/parquet-file.ts";
import type { Bytes } from "../formats/positioned.ts";
import { choose, featuresOf } from "./parquet-columns.ts";

/** The labels of a file. */
export interface Labels {
  /** One for each row: the name of its class, undefined for none. Absent where the file has no labels that can be used. */
  readonly values?: readonly (string | undefined)[];
  /** All classes, where the file says what they are called. */
  readonly classes?: readonly string[];
  /** See Source.notes. */
  readonly note?: string;
}

/** What columns of labels are mostly called, the likeliest first. */
const usual = ["label", "labels", "fine_label", "class", "class_label", "class_name", "category", "target"];

/**
 * Reads the labels: from the column of that name, else from the one that Hugging Face's library calls labels, else from
 * one that is called so. Throws one sentence where a column that was asked for is not there or cannot be used.
 */
export async function labelsOf(
  file: Bytes,
  footer: ParquetFile,
  asked: string | undefined,
  image: string,
): Promise<Labels> {
  const found = labelColumn(file, footer, asked, image);
  if (!("column" in found)) return found;
  const { column } = found;
  const name = nameOf(column);
  try {
    const classes = column.path.length === 1 ? classNames(footer, column.path[0]!) : undefined;
    const { values, unknown } = await readLabels(file, footer, column, classes);
    if (values.length > 0 && values.every((value) => value === undefined))
      return { note: `labels are not used: ${file.name} has none in its column ${name}` };
    if (unknown === undefined) return { values, ...(classes === undefined ? {} : { classes }) };
    const note =
      `${file.name} has ${unknown.count.toLocaleString("en")} labels in its column ${name} that are none of the ` +
      `${classes!.length} classes it names (the first: ${unknown.first}); these images count as having none`;
    return { values, classes: classes!, note };
  } catch (error) {
    const { message } = error as Error;
    if (asked !== undefined) throw error;
    return { note: `labels are not used: ${message}` };
  }
}

function labelColumn(
  { name: file }: Bytes,
  footer: ParquetFile,
  asked: string | undefined,
  image: string,
): { readonly column: ParquetColumn } | Labels {
  const { columns } = footer;
  const features = featuresOf(footer);
  const named = (wanted: string) =>
    columns.find(({ path }) => path.join(".") === wanted) ??
    columns.find(({ path }) => path.join(".").toLowerCase() === wanted.toLowerCase()) ??
    columns.find(({ path, isList }) => isList && path[0]!.toLowerCase() === wanted.toLowerCase());
  if (asked !== undefined) {
    const column = named(asked);
    if (column === undefined)
      throw new Error(`${file} has no column ${shown(asked)} of labels; ${choose(footer, "label")}`);
    return { column };
  }
  const declared = Object.keys(features).filter((name) => features[name]?.type === "ClassLabel");
  const [likeliest] = usual.filter((name) => declared.length === 0 || declared.includes(name));
  const one = declared.length === 1 ? declared[0] : likeliest;
  const names = one === undefined && declared.length > 1 ? [] : [...(one === undefined ? [] : [one]), ...usual];
  const column = names.flatMap((name) => named(name) ?? [])[0];
  if (column !== undefined) return { column };
  const fields = columns.filter(({ path }) => path.length > 1 && usual.includes(path[0]!.toLowerCase()));
  if (fields.length > 0)
    return {
      note:
        `labels are not used: ${file} has several fields in its column ${shown(fields[0]!.path[0]!)}; say which one with ` +
        `--label-column: ${fields.map(({ path }) => shown(path.join("."))).join(", ")}`,
    };
  const others =
    declared.length > 1
      ? declared
      : columns
          .filter((each) => each.path[0] !== image && each.path.length === 1 && isUsable(each))
          .map(({ path }) => path[0]!);
  if (others.length === 0) return {};
  return {
    note:
      `none of the columns of ${file} is called label, so no labels are used; if one of ` +
      `${others.slice(0, 10).map(shown).join(", ")} is meant, say so with --label-column`,
  };
}

/** A list's own name, and not that of what is in it. */
const nameOf = ({ path, isList }: ParquetColumn) => shown(isList ? path[0]! : path.join("."));

const isUsable = ({ type, isList, meaning = "" }: ParquetColumn) =>
  !isList &&
  isRead(type) &&
  (type !== "BYTE_ARRAY" || meaning === "STRING" || meaning === "ENUM") &&
  !odd.test(meaning);

/** Meanings of values that are no names and no numbers of classes. */
const odd = /^(DATE|TIME|DECIMAL|INTERVAL|JSON|BSON|VARIANT|UUID|FLOAT16|GEO)/;

/** Throws one sentence when these are no labels. */
async function readLabels(
  file: Bytes,
  footer: ParquetFile,
  column: ParquetColumn,
  classes: readonly string[] | undefined,
): Promise<{ values: (string | undefined)[]; unknown?: { count: number; first: string } }> {
  const { type, isList, meaning = "" } = column;
  const what = `${file.name} has in its column ${nameOf(column)}`;
  if (isList) throw new Error(`${what} a list for each image, and not one label`);
  if (!isRead(type) || odd.test(meaning))
    throw new Error(`${what} values of the type ${typeOf(column)}, and no names or whole numbers`);
  const known = new Set(classes);
  const texts = new Map<Uint8Array, string>(); // of a dictionary, whose values are the same objects
  const values: (string | undefined)[] = [];
  let [unknown, first] = [0, ""];

  function textOf(value: Exclude<Value, Uint8Array>): string | undefined {
    if (typeof value === "boolean") return String(value);
    if (typeof value === "bigint") return String(meaning === "UINT_64" ? BigInt.asUintN(64, value) : value);
    if (Number.isNaN(value)) return undefined; // as pandas writes a missing one
    if (!Number.isInteger(value)) throw new Error(`${what} numbers with fractions (${value}), and no whole ones`);
    return String(meaning === "UINT_32" ? value >>> 0 : value);
  }
  function named(text: string | undefined): string | undefined {
    if (text === undefined || classes === undefined || known.has(text)) return text;
    if (text === "-1") return undefined; // as Hugging Face's library writes a missing one
    const name = /^\d{1,9}$/.test(text) ? classes[Number(text)] : undefined;
    if (name === undefined && unknown++ === 0) first = shown(text);
    return name;
  }
  for await (const page of footer.pages(column)) {
    texts.clear();
    for (const value of await readPage(file, page, type)) {
      if (!(value instanceof Uint8Array)) {
        values.push(value === undefined ? undefined : named(textOf(value)));
        continue;
      }
      let text = texts.get(value);
      if (text === undefined) {
        if (!isUtf8(value)) throw new Error(`${what} bytes that are no text`);
        texts.set(value, (text = Buffer.from(value).toString()));
      }
      values.push(text === "" ? undefined : named(text));
    }
  }
  return { values, ...(unknown === 0 ? {} : { unknown: { count: unknown, first } }) };
}

/** The names of classes in what Hugging Face's library says of the column. */
function classNames(footer: ParquetFile, column: string): readonly string[] | undefined {
  const names = featuresOf(footer)[column]?.names;
  if (!Array.isArray(names) || names.length === 0) return undefined;
  return names.every((name) => typeof name === "string") ? names : undefined;
}
