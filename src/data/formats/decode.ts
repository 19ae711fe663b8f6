/** Image files to pixels: plain JPEG by our own decoder, everything else through sharp (libvips). */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import sharp, { type Metadata } from "sharp";
import { formatOf } from "./image-format.ts";
import { decodeBaseline } from "./jpeg.ts";
import { baselineHeader } from "./jpeg-header.ts";
import type { DecodeHint, Pixels } from "../source.ts";
import { printable } from "../../tensor/text.ts";

/** Larger images are refused before memory is taken for them: a small file can claim any size. */
const maxPixels = 2 ** 28;

/**
 * Decodes to 8-bit sRGB: EXIF orientation applied, transparency over white, grey, CMYK and colour profiles converted, 16
 * bits scaled, first frame or page only. The format is told by the first bytes.
 * `shortSide`: images whose shorter side is longer are reduced to it, which for JPEG saves most of the decoding time.
 * Warnings about a file are ignored. Rejects with what is wrong with it: other formats, a truncated or broken file, more
 * than 2^28 pixels, samples that are neither 8 nor 16 bits.
 */
export async function decode(file: string | Uint8Array, shortSide?: number, hint?: DecodeHint): Promise<Pixels> {
  const bytes = typeof file === "string" ? await contentOf(file) : file;
  const format = formatOf(bytes);
  const header = format === "JPEG" ? baselineHeader(bytes) : undefined;
  if (header !== undefined && Math.min(header.width, header.height) <= (shortSide ?? Infinity)) {
    const pixels = decodeBaseline(bytes, header, hint);
    if (pixels !== undefined) return pixels; // else sharp says what is wrong with the file, or reads it all the same
  }
  const fail = (error: Error): never => {
    throw new Error(reasonOf(error, format), { cause: error });
  };
  let image = sharp(bytes, { failOn: "error", limitInputPixels: maxPixels }).autoOrient();
  if (format === "TIFF") checkSamples(await image.metadata().catch(fail));
  if (shortSide !== undefined)
    image = image.resize({ width: shortSide, height: shortSide, fit: "outside", withoutEnlargement: true });
  const { data, info } = await image
    .flatten({ background: "#ffffff" })
    .toColourspace("srgb")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true })
    .catch(fail);
  if (info.channels !== 3) throw new Error(`its ${info.channels} channels are neither grey nor RGB nor CMYK`);
  return { width: info.width, height: info.height, data };
}

/** A read that takes longer than this, in milliseconds, waited for its disk. */
const quick = 2;
/** Reads that wait elsewhere before it is tried here again. */
const patience = 16;
let waiting = 0;

/**
 * The bytes of a file. Read on this thread while that is quick: passing a file that is in memory through other threads
 * takes longer than reading it. From a slow disk several files are read at a time.
 */
async function contentOf(path: string): Promise<Buffer> {
  if (waiting > 0) {
    waiting--;
    return readFile(path);
  }
  const start = performance.now();
  const bytes = readFileSync(path);
  if (performance.now() - start > quick) waiting = patience;
  return bytes;
}

/** `decode` of a file, or of what is being read of it, called `name` in messages. Rejects with one sentence. */
export async function readImage(
  file: string | Promise<Uint8Array>,
  name: string,
  shortSide?: number,
  hint?: DecodeHint,
): Promise<Pixels> {
  try {
    return await decode(await file, shortSide, hint);
  } catch (error) {
    const reason = error instanceof Error ? printable(error.message.trim().split("\n")[0]!) : String(error);
    throw new Error(`cannot read image ${printable(name)}: ${reason}`, { cause: error });
  }
}

/** Where samples are floats or 32-bit numbers, nothing says which of them is white. */
function checkSamples({ depth }: Metadata): void {
  if (depth !== "uchar" && depth !== "ushort")
    throw new Error(`its samples are of type ${depth}: convert it to a TIFF of 8 or 16 bits without sign`);
}

/** What libvips says, in a sentence for people. Its messages have a line per attempt; the last one says why. */
function reasonOf({ message }: Error, format: string): string {
  if (message.includes("exceeds pixel limit"))
    return `it has more than ${Math.floor(maxPixels / 1e6)} million pixels: reduce it first`;
  const last = message.trim().split("\n").at(-1)!;
  return `the ${format} file is truncated or damaged (${last.replace(/^Input \w+ has corrupt header: /, "")})`;
}
