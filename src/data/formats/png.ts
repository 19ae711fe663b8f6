import sharp from "sharp";
import type { Pixels } from "../source.ts";

/** A PNG file of an image. */
export function encodePng({ data, width, height }: Pixels): Promise<Buffer> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}
