/** Which column of a Parquet file has the images, whatever it is called, and what of them it holds. */
import { isUtf8 } from "node:buffer";
import * as z from "zod";
import { shown } from "../../tensor/text.ts";
import { formatOf, isImageName } from "../formats/image-format.ts";
import { type ParquetColumn, type ParquetFile, readPage, typeOf } from "../formats/parquet-file.ts";
import type { Bytes } from "../formats/positioned.ts";
import { isAddress } from "./named-files.ts";

/** What the values are: bytes of image files, the same as text in base64, or paths. */
export type Form = "bytes" | "base64" | "path";

export interface ImageColumn {
  /** `image`, also where the bytes are in `image.bytes`. */
  readonly name: string;
  readonly values: ParquetColumn;
  /** Paths: what the images were called, or where they are when they have no bytes. */
  readonly paths?: ParquetColumn;
  readonly form: Form;
}

/** What columns of images are mostly called, the likeliest first. */
const usualImages = ["image", "img", "images", "picture", "photo"];

/**
 * The column of the images: the one of that name, else the one that Hugging Face's library calls images, else one that is
 * called so, else the only one that holds images. Undefined when there is none; throws one sentence when there is none of
 * that name, when there are several, or when it does not hold images.
 */
export async function imageColumnOf(
  file: Bytes,
  footer: ParquetFile,
  asked: string | undefined,
): Promise<ImageColumn | undefined> {
  if (asked !== undefined) {
    const found = partsOf(footer, asked);
    if (found === undefined)
      throw new Error(`${file.name} has no column ${shown(asked)} of images; ${choose(footer, "image")}`);
    return { ...found, form: formOf((await contentOf(file, footer, found)) ?? "path") };
  }
  const tops = [...new Set(footer.columns.map(({ path }) => path[0]!))];
  const parts = tops.flatMap((name) => partsOf(footer, name) ?? []);
  const features = featuresOf(footer);
  const declared = parts.filter(({ name }) => features[name]?.type === "Image");
  const usual = (among: readonly Parts[]) =>
    usualImages.flatMap((name) => among.find((each) => each.name.toLowerCase() === name) ?? []);
  const binary = parts.filter(({ values }) => values.meaning !== "STRING");
  /** The columns that may be meant, by what is said of them; and which forms they must then have. */
  const stages: readonly (readonly [candidates: readonly Parts[], forms: readonly Content[]])[] = [
    [
      declared.length > 1 ? [...usual(declared).slice(0, 1), ...declared] : declared,
      ["bytes", "base64", "path", "binary"],
    ],
    [usual(parts), ["bytes", "base64", "path", "binary"]],
    [parts.filter(({ values }) => values.path.length > 1), ["bytes", "path"]],
    [binary, ["bytes"]],
    [parts, ["base64", "path"]],
  ];
  for (const [candidates, forms] of stages) {
    const found: ImageColumn[] = [];
    for (const each of candidates) {
      const content = await contentOf(file, footer, each);
      if (content !== undefined && forms.includes(content)) found.push({ ...each, form: formOf(content) });
      if (found.length === 1 && usual([each]).length === 1) return found[0]; // the likeliest of those that are called so
    }
    if (found.length > 1)
      throw new Error(
        `${file.name} has several columns of images, ${found.map(({ name }) => shown(name)).join(", ")}; ` +
          "say which one with --image-column",
      );
    if (found[0] !== undefined) return found[0];
  }
  return undefined;
}

/** The sentence for a file without a column of images. */
export function noImages(file: Bytes, footer: ParquetFile): Error {
  const lists = footer.columns.find(({ path, isList }) => isList && path.at(-1) === "bytes");
  if (lists !== undefined)
    return new Error(
      `${file.name} has lists of images in its column ${shown(lists.path[0]!)}: write a row for each image`,
    );
  return new Error(`${file.name} has no column of images; ${choose(footer, "image")}`);
}

/** What to do, with the columns there are. */
export function choose({ columns }: ParquetFile, what: "image" | "label"): string {
  const list = columns.map((column) => `${shown(column.path.join("."))} (${typeOf(column)})`);
  const more = list.length > 20 ? ` and ${list.length - 20} more` : "";
  return `say which of its columns has them with --${what}-column: ${list.slice(0, 20).join(", ")}${more}`;
}

type Parts = Omit<ImageColumn, "form">;

/** The column of that name, or its fields `bytes` and `path`. */
function partsOf({ columns }: ParquetFile, name: string): Parts | undefined {
  const find = (path: string) =>
    columns.find((column) => column.type === "BYTE_ARRAY" && !column.isList && column.path.join(".") === path);
  const own = find(name);
  if (own !== undefined) return { name, values: own };
  const [bytes, paths] = [find(`${name}.bytes`), find(`${name}.path`)];
  const values = bytes ?? paths;
  return values && { name, values, ...(paths === undefined ? {} : { paths }) };
}

/** Values and pages that are looked at to see what a column holds. */
const looked = { values: 8, pages: 16 };

type Content = Form | "binary";

const formOf = (content: Content): Form => (content === "binary" ? "bytes" : content);

/** What a column holds, from its first values: undefined for text that says nothing of images. */
async function contentOf(file: Bytes, footer: ParquetFile, { values, paths }: Parts): Promise<Content | undefined> {
  if (values === paths) return "path";
  const found: Uint8Array[] = [];
  let pages = 0;
  for await (const page of footer.pages(values)) {
    for (const value of await readPage(file, page, values.type))
      if (value instanceof Uint8Array && value.length > 0 && found.length < looked.values) found.push(value);
    if (found.length > 0 || ++pages === looked.pages) break;
  }
  if (values.path.length > 1) return "bytes"; // or, where there are none, files at its paths
  const contents = new Set(found.map(contentOfValue));
  return (["bytes", "base64", "path", "binary"] as const).find((each) => contents.has(each));
}

function contentOfValue(value: Uint8Array): Content | undefined {
  if (isImage(value)) return "bytes";
  if (!isUtf8(value)) return "binary";
  if (isImage(fromBase64(value.subarray(0, 2 ** 12)))) return "base64";
  const text = Buffer.from(value).toString();
  return isAddress(text) || isImageName(text) ? "path" : undefined;
}

function isImage(bytes: Uint8Array): boolean {
  try {
    formatOf(bytes);
    return true;
  } catch {
    return false;
  }
}

/** The bytes that a text in base64 stands for, which may begin as an address does: `data:image/png;base64,`. */
export function fromBase64(text: Uint8Array): Uint8Array {
  const start = text[0] === 0x64 ? text.indexOf(0x2c) + 1 : 0; // d, comma
  return Buffer.from(Buffer.from(text.subarray(start)).toString("latin1"), "base64");
}

const featuresSchema = z.object({
  info: z.object({
    features: z.record(
      z.string(),
      z
        .object({ _type: z.unknown(), names: z.unknown() })
        .partial()
        .transform(({ _type: type, names }) => ({ type, names })),
    ),
  }),
});

type Features = z.infer<typeof featuresSchema>["info"]["features"];

/** What Hugging Face's library says of the columns. */
export function featuresOf({ notes }: ParquetFile): Features {
  try {
    return featuresSchema.parse(JSON.parse(notes.get("huggingface") ?? "{}")).info.features;
  } catch {
    return {};
  }
}
