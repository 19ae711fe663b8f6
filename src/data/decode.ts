/** Image files to pixels, through sharp (libvips). */
import { extname } from "node:path";
import sharp from "sharp";
import type { Pixels } from "./source.ts";

/** File name endings that are read, in lower case. */
export const imageExtensions: readonly string[] = [".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".avif"];

export function isImageName(name: string): boolean {
  return imageExtensions.includes(extname(name).toLowerCase());
}

/**
 * Decodes to 8-bit sRGB: EXIF orientation applied, transparency over white, grey and CMYK converted, first frame only.
 * `shortSide`: images whose shorter side is longer are reduced to it, which for JPEG saves most of the decoding time.
 * Warnings about a file are ignored; a truncated or broken one rejects with libvips' message.
 */
export async function decode(file: string | Uint8Array, shortSide?: number): Promise<Pixels> {
  let image = sharp(file, { failOn: "error" }).autoOrient();
  if (shortSide !== undefined)
    image = image.resize({ width: shortSide, height: shortSide, fit: "outside", withoutEnlargement: true });
  const { data, info } = await image
    .flatten({ background: "#ffffff" })
    .toColourspace("srgb")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data: info.channels === 3 ? data : repeatGrey(data, info.channels) };
}

/** `decode` of a file, or of what is being read of it, called `name` in messages. Rejects with one sentence. */
export async function readImage(file: string | Promise<Uint8Array>, name: string, shortSide?: number): Promise<Pixels> {
  try {
    return await decode(await file, shortSide);
  } catch (error) {
    const reason = error instanceof Error ? error.message.trim().split("\n")[0] : String(error);
    throw new Error(`cannot read image ${name}: ${reason}`, { cause: error });
  }
}

/** libvips keeps one channel for grey images. */
function repeatGrey(data: Uint8Array, channels: number): Uint8Array {
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let i = 0; i < rgb.length; i++) rgb[i] = data[Math.floor(i / 3) * channels]!;
  return rgb;
}
