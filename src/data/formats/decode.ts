/** Image files to pixels: plain JPEG by our own decoder, everything else through sharp (libvips). */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import sharp, { type Sharp } from "sharp";
import { formatOf } from "./image-format.ts";
import { decodeBaseline } from "./jpeg.ts";
import { baselineHeader, unreadJpeg } from "./jpeg-header.ts";
import { bandsOf, type TiffHeader, tiffHeader, unreadTiff } from "./tiff-header.ts";
import type { DecodeHint, Pixels } from "../source.ts";
import { printable } from "../../tensor/text.ts";

/** Larger images are refused before memory is taken for them: a small file can claim any size. */
const maxPixels = 2 ** 28;

/** Values that are black and white, in images of more than 8 bits a sample. */
export type SampleRange = readonly [black: number, white: number];

export interface DecodeOptions {
  /** Images whose shorter side is longer are reduced to it, which for JPEG saves most of the decoding time. */
  readonly shortSide?: number | undefined;
  /** Default: all that 16 bits can say. Images of 8 bits are as they are. */
  readonly range?: SampleRange | undefined;
}

/**
 * Decodes to 8-bit sRGB: EXIF orientation applied, transparency over white, grey, CMYK and colour profiles converted, 16
 * bits scaled from `range`, first frame or page only. The format is told by the first bytes. Of a TIFF only what it
 * declares as transparency is; other bands beyond its colours are left out.
 * Warnings about a file are ignored. Rejects with what is wrong with it: other formats, a truncated or broken file, more
 * than 2^28 pixels, samples that nothing says how to show.
 */
export async function decode(
  file: string | Uint8Array,
  { shortSide, range }: DecodeOptions = {},
  hint?: DecodeHint,
): Promise<Pixels> {
  const bytes = typeof file === "string" ? await contentOf(file) : file;
  const format = formatOf(bytes);
  const header = format === "JPEG" ? baselineHeader(bytes) : undefined;
  if (header !== undefined && Math.min(header.width, header.height) <= (shortSide ?? Infinity)) {
    const pixels = decodeBaseline(bytes, header, hint);
    if (pixels !== undefined) return pixels; // else sharp says what is wrong with the file, or reads it all the same
  }
  const tiff = format === "TIFF" ? tiffHeader(bytes) : undefined;
  const fail = (error: Error): never => {
    throw new Error(reasonOf(error, format, bytes, tiff), { cause: error });
  };
  const bands = tiff && bandsOf(tiff);
  let image = sharp(bytes, {
    failOn: "error",
    limitInputPixels: maxPixels,
    limitInputChannels: Math.max(5, tiff?.bands ?? 0),
  }).autoOrient();
  const isDeepPng = format === "PNG" && bytes[24] === 16;
  const { depth = "uchar", space } = format === "TIFF" || isDeepPng ? await image.metadata().catch(fail) : {};
  if (depth !== "uchar") image = shownIn(image, depth, space, range);
  const facts = { bits: depth === "uchar" ? 8 : 16, spare: bands?.spare ?? 0, pages: tiff?.pages ?? 1 };
  const samples = facts.bits > 8 || facts.spare > 0 || facts.pages > 1 ? { samples: facts } : {};
  if (bands !== undefined && bands.spare > 0) {
    // all bands, since sharp takes any fourth one for transparency, also while it reduces an image
    const { data, info } = await image
      .toColourspace("srgb")
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true })
      .catch(fail);
    const rgb = colourOf(data, info.channels, bands.alpha);
    const raw = { width: info.width, height: info.height, channels: 3 } as const;
    if (Math.min(info.width, info.height) <= (shortSide ?? Infinity))
      return { width: info.width, height: info.height, data: rgb, ...samples };
    image = sharp(rgb, { raw });
  }
  if (shortSide !== undefined)
    image = image.resize({ width: shortSide, height: shortSide, fit: "outside", withoutEnlargement: true });
  const { data, info } = await image
    .flatten({ background: "#ffffff" })
    .toColourspace("srgb")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true })
    .catch(fail);
  if (info.channels !== 3) throw new Error(`its ${info.channels} channels are neither grey nor RGB nor CMYK`);
  return { width: info.width, height: info.height, data, ...samples };
}

/** The first three of `channels` bands; over white where one behind them is their opacity. */
function colourOf(data: Uint8Array, channels: number, alpha: number | undefined): Uint8Array {
  const pixels = data.length / channels;
  const rgb = new Uint8Array(pixels * 3);
  for (let i = 0; i < pixels; i++) {
    const opacity = alpha === undefined ? 255 : data[i * channels + 3 + alpha]!;
    for (let c = 0; c < 3; c++) rgb[i * 3 + c] = 255 - ((255 - data[i * channels + c]!) * opacity) / 255;
  }
  return rgb;
}

/** The image with samples of more than 8 bits, of which `range` are black and white. */
function shownIn(image: Sharp, depth: string, space: string | undefined, range: SampleRange | undefined): Sharp {
  const white = whites[space ?? ""];
  if (depth === "ushort" && (range === undefined || white === undefined)) return image;
  if (white === undefined)
    throw new Error(`its colours are samples of type ${depth}, which are not read: convert it to 8 or 16 bits`);
  if (range === undefined)
    throw new Error(
      `its samples are of type ${depth}, of which nothing says what is black and what white: ` +
        "say so with --range LOW,HIGH, or convert it to 8 or 16 bits without sign",
    );
  const slope = white / (range[1] - range[0]);
  return image.linear(slope, -range[0] * slope);
}

/** What libvips takes for white, by what it calls the kind of an image; ranges are for these. */
const whites: Readonly<Record<string, number>> = { "b-w": 255, srgb: 255, grey16: 65_535, rgb16: 65_535 };

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
  options?: DecodeOptions,
  hint?: DecodeHint,
): Promise<Pixels> {
  try {
    return await decode(await file, options, hint);
  } catch (error) {
    const reason = error instanceof Error ? printable(error.message.trim().split("\n")[0]!) : String(error);
    throw new Error(`cannot read image ${printable(name)}: ${reason}`, { cause: error });
  }
}

/** What libvips says, in a sentence for people. Its messages have a line per attempt; the last one says why. */
function reasonOf({ message }: Error, format: string, bytes: Uint8Array, tiff: TiffHeader | undefined): string {
  if (message.includes("exceeds pixel limit"))
    return `it has more than ${Math.floor(maxPixels / 1e6)} million pixels: reduce it first`;
  const unread = tiff === undefined ? (format === "JPEG" ? unreadJpeg(bytes) : undefined) : unreadTiff(tiff);
  if (unread !== undefined) return unread;
  const lines = message.trim().split("\n");
  const cannot = lines.find((line) =>
    /not (supported|configured|implemented|compiled)|unsupported(?! image format)|not built/i.test(line),
  );
  if (cannot !== undefined)
    return `it is a kind of ${format} file that is not read (${cannot}): convert it to PNG or JPEG`;
  return `the ${format} file is truncated or damaged (${lines.at(-1)!.replace(/^Input \w+ has corrupt header: /, "")})`;
}
