/** The lines of a text file, as bytes: names of files need not be text. */
import { decodedName } from "./names.ts";

/**
 * A line. `bytes` has a character for each byte, so that no byte is lost: commas, quotes and spaces are where they are in
 * the text, and `textOf` makes text of any part.
 */
export interface Line {
  readonly bytes: string;
  /** From 1. */
  readonly number: number;
}

/**
 * Lines that are not blank, without their ends (LF, CRLF, or CR alone in a text without LF). UTF-16 is told by its byte
 * order mark, or by the zeros between its letters. Throws one sentence when the file of that
 * name is no text.
 */
export function* linesOf(name: string, content: Uint8Array): Generator<Line, void, undefined> {
  const text = withoutMark(content);
  const zero = text.indexOf(0);
  if (zero !== -1) throw new Error(`${name} is no text file: its byte ${zero + 1} is 0`);
  const end = text.includes(lf) ? lf : cr;
  for (let number = 1, start = 0; start < text.length; number++) {
    const found = text.indexOf(end, start);
    const stop = found === -1 ? text.length : found;
    const bytes = text.toString("latin1", start, stop).replace(/\r$/, "");
    start = stop + 1;
    if (trimmed(bytes) !== "") yield { bytes, number };
  }
}

const [lf, cr] = [10, 13];

/** Without white space at the ends. In a string of bytes `trim` would take parts of letters for spaces. */
export function trimmed(bytes: string): string {
  let [start, end] = [0, bytes.length];
  while (start < end && space.includes(bytes[start]!)) start++;
  while (end > start && space.includes(bytes[end - 1]!)) end--;
  return bytes.slice(start, end);
}

const space = " \t\r\f\v";

/** The text that bytes are: UTF-8, else Latin-1, so that different ones stay different. */
export function textOf(bytes: string): string {
  return /[\x80-\xff]/.test(bytes) ? decodedName(Buffer.from(bytes, "latin1")) : bytes;
}

/** As UTF-8, or bytes of which nothing is known. */
function withoutMark(content: Uint8Array): Buffer {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.length);
  if (bytes.subarray(0, 3).equals(utf8Mark)) return bytes.subarray(3);
  const encoding = utf16Of(bytes);
  return encoding === undefined ? bytes : Buffer.from(new TextDecoder(encoding).decode(bytes)); // which takes marks away
}

const utf8Mark = Buffer.from([0xef, 0xbb, 0xbf]);

function utf16Of(bytes: Buffer): "utf-16le" | "utf-16be" | undefined {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return "utf-16le";
  if (first === 0xfe && second === 0xff) return "utf-16be";
  if (first === undefined || second === undefined || (first === 0) === (second === 0)) return undefined;
  return second === 0 ? "utf-16le" : "utf-16be";
}
