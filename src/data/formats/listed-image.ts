/** What lists of images consist of, whatever their form. */
import type { Split } from "../source.ts";
import type { Line } from "./text-lines.ts";

export interface ListedImage {
  /** As text; what is not UTF-8 is shown as �. */
  readonly path: string;
  /** The path as the file has it. */
  readonly bytes: Buffer;
  readonly label?: string;
  readonly split?: Split;
  /** Of the text, from 1. */
  readonly line: number;
}

export interface ImageList {
  /** In order; may be gone through any number of times. */
  readonly images: Iterable<ListedImage>;
  /** A label is missing in some rows of a table without a mistake. */
  readonly isTable: boolean;
  /** See Source.notes. */
  readonly notes: readonly string[];
}

/** Columns of a table: their names in its first line, or their numbers from 1. */
export interface ListColumns {
  readonly image?: string | undefined;
  readonly label?: string | undefined;
}

/** A text to be read any number of times. */
export interface Text {
  /** For messages. */
  readonly name: string;
  lines(): Generator<Line, void, undefined>;
}

/** A path in a line, whose characters are bytes. */
export function pathOf(bytes: string): Pick<ListedImage, "path" | "bytes"> {
  const buffer = Buffer.from(bytes, "latin1");
  return { path: buffer.toString(), bytes: buffer };
}
