/** Tables (CSV) that list images: a column has their paths, and others may have labels and splits. */
import { shown } from "../../tensor/text.ts";
import { splitWords } from "../source.ts";
import { imageExtensions, isImageName } from "./image-format.ts";
import { type ImageList, type ListColumns, pathOf, type Text } from "./listed-image.ts";
import { type Line, textOf, trimmed } from "./text-lines.ts";

/** What the ending of an image is followed by where a path ends. */
export const imageEnd = `\\.(?:${imageExtensions.map((ending) => ending.slice(1)).join("|")})`;
export const endsInLine = new RegExp(`${imageEnd}(?=["' \\t,;|]|$)`, "i");

export type Delimiter = "," | ";" | "\t" | "|";

/** What parts the columns where the first lines are a table: it stands behind a path, or parts a heading like the lines. */
export function delimiterOf(first: readonly Line[]): Delimiter | undefined {
  const withImage = first.filter(({ bytes }) => endsInLine.test(bytes));
  if (withImage.length === 0) return undefined;
  if (withImage.every(({ bytes }) => bytes.includes("\t"))) return "\t";
  const behind = new RegExp(`${imageEnd}"? *([,;|])`, "i");
  for (const { bytes } of withImage) {
    const [, found] = behind.exec(bytes) ?? [];
    if (found !== undefined) return found as Delimiter;
  }
  const [head, line] = first;
  if (head === undefined || line === undefined || endsInLine.test(head.bytes)) return undefined;
  const count = (bytes: string, delimiter: string) => bytes.split(delimiter).length - 1;
  return ([",", ";", "|"] as const).find((each) => {
    const columns = count(head.bytes, each);
    return columns > 0 && columns === count(line.bytes, each);
  });
}

interface Row {
  readonly fields: readonly string[];
  readonly line: number;
}

/** What people call columns, in lower case, the likeliest first. */
const usualNames = {
  image: ["file_name", "filename", "image_path", "file_path", "filepath", "path", "image", "img", "file"],
  label: ["label", "labels", "class", "class_name", "classname", "category", "target", "fine_label"],
  split: ["split", "set", "subset", "partition"],
} as const;

/**
 * The images of a table, from a first look over so many of its rows. Throws one sentence when there is no such column, or
 * none of paths.
 */
export function parseTable(text: Text, looked: number, delimiter: Delimiter, asked: ListColumns): ImageList {
  const sample: Row[] = [];
  for (const row of rowsOf(text, delimiter)) if (sample.push(row) === looked) break;
  if (sample.length === 0) throw new Error(`${text.name} lists no image: its rows are empty`);
  const isImage = (field = "") => isImageName(textOf(field));
  const [top, ...below] = sample;
  const names = top!.fields.map((field) => textOf(field).replace(/^#+ */, ""));
  const hasHead =
    !top!.fields.some(isImage) &&
    (below.some(({ fields }) => fields.some(isImage)) || (asked.image !== undefined && names.includes(asked.image)));
  const head = hasHead ? names : undefined;
  const data = hasHead ? below : sample;
  const width = head?.length ?? Math.max(...sample.map(({ fields }) => fields.length));
  const titles = Array.from({ length: width }, (_, i) => head?.[i] || `${i + 1}`);

  function askedFor(what: "image" | "label"): number | undefined {
    const name = asked[what];
    if (name === undefined) return undefined;
    const found = titles.indexOf(name);
    const same = found === -1 ? titles.findIndex((title) => title.toLowerCase() === name.toLowerCase()) : found;
    const place = same === -1 && /^\d+$/.test(name) ? Number(name) - 1 : same;
    if (place < 0 || place >= width)
      throw new Error(
        `${text.name} has no column ${shown(name)}; its columns are ${listOf(titles)}: change --${what}-column`,
      );
    return place;
  }
  const usual = (what: keyof typeof usualNames, fits: (i: number) => boolean) =>
    usualNames[what]
      .map((name) => titles.findIndex((title) => title.toLowerCase() === name))
      .find((i) => i >= 0 && fits(i));
  const inAll = (i: number, fits: (field: string) => boolean) => data.every(({ fields }) => fits(fields[i] ?? ""));

  const imagesIn = (i: number) => data.some(({ fields }) => isImage(fields[i]));
  const image = askedFor("image") ?? usual("image", imagesIn) ?? titles.findIndex((_, i) => imagesIn(i));
  if (image === -1)
    throw new Error(
      `${text.name} has no column of paths of images (they end in ${imageExtensions.join(", ")}); its columns are ${listOf(names)}: ` +
        `say which one with --image-column`,
    );
  const isSplit = (i: number) => data.length > 0 && inAll(i, (field) => splitWords.has(textOf(field).toLowerCase()));
  const split =
    usual("split", isSplit) ??
    (head === undefined ? titles.findLastIndex((_, i) => i > image && i > 1 && isSplit(i)) : -1);
  const others = titles.flatMap((_, i) => (i === image || i === split || imagesIn(i) || head?.[i] === "" ? [] : i));
  const notes: string[] = [];
  let label = askedFor("label") ?? usual("label", (i) => others.includes(i));
  if (label === undefined && others.length === 1) {
    [label] = others;
    if (head !== undefined) notes.push(`labels are taken from the column ${shown(titles[label!]!)}`);
  } else if (label === undefined && others.length > 1)
    notes.push(
      `none of the columns ${listOf(others.map((i) => titles[i]!))} is called label, so none is used; ` +
        "say which one is with --label-column",
    );

  return {
    images: {
      *[Symbol.iterator]() {
        for (const { fields, line } of rowsOf(text, delimiter)) {
          if (hasHead && line === top!.line) continue;
          const path = fields[image] ?? "";
          if (fields.slice(width).some((field) => field !== ""))
            throw new Error(
              `${text.name} has ${fields.length} columns in line ${line}, more than the ${width} before; a path or label with ` +
                `${delimiter === "\t" ? "tabs" : delimiter} in it goes in quotes`,
            );
          if (path === "")
            throw new Error(
              `${text.name} has no path in line ${line}, where column ${shown(titles[image]!)} should have one`,
            );
          const name = label === undefined ? "" : textOf(fields[label] ?? "");
          const word =
            split === -1 || split === undefined ? undefined : splitWords.get(textOf(fields[split] ?? "").toLowerCase());
          yield {
            ...pathOf(path),
            ...(name === "" ? {} : { label: name }),
            ...(word === undefined ? {} : { split: word }),
            line,
          };
        }
      },
    },
    isTable: true,
    notes,
  };
}

function listOf(names: readonly string[]): string {
  return names.slice(0, 20).map(shown).join(", ");
}

/** Longest row with line breaks in quotes: a longer one has a quote that somebody forgot to close. */
const longestRow = 2 ** 16;

/** The rows of a table. A quoted field may have delimiters, doubled quotes and line breaks in it. */
function* rowsOf({ name, lines }: Text, delimiter: Delimiter): Generator<Row, void, undefined> {
  let open: { bytes: string; line: number } | undefined;
  for (const { bytes, number } of lines()) {
    const whole = open === undefined ? bytes : `${open.bytes}\n${bytes}`;
    const line = open?.line ?? number;
    const fields = fieldsOf(whole, delimiter);
    open = fields === undefined ? { bytes: whole, line } : undefined;
    if (open !== undefined && whole.length > longestRow) break;
    if (fields?.some((field) => field !== "")) yield { fields, line };
  }
  if (open !== undefined) throw new Error(`${name} has a quote in line ${open.line} that is never closed`);
}

/** The fields of a row; undefined where a quote is still open at its end. */
function fieldsOf(row: string, delimiter: Delimiter): string[] | undefined {
  const fields: string[] = [];
  for (let at = 0; at <= row.length;) {
    const quote = /^ *"/.exec(row.slice(at, at + 100))?.[0];
    let field: string | undefined;
    let end = at;
    if (quote !== undefined) {
      field = "";
      end += quote.length;
      for (;;) {
        const close = row.indexOf('"', end);
        if (close === -1) return undefined;
        field += row.slice(end, close);
        end = close + 1;
        if (row[end] !== '"') break;
        field += '"';
        end++;
      }
    }
    const next = row.indexOf(delimiter, end);
    fields.push(trimmed(field ?? row.slice(at, next === -1 ? undefined : next)));
    if (next === -1) return fields;
    at = next + 1;
  }
  return fields;
}
