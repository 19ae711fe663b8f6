/** Drawings as pixels: rendered once per machine, then read from a file in the user's cache folder. */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { cacheFolder, writeCached } from "../../cache-folder.ts";
import { readInstalled, type Style, versionOf } from "./installed.ts";

/** Pixels of the drawings of one style: size × size RGB, on white. */
export interface Raster {
  read(i: number): Promise<Uint8Array>;
}

interface Icon {
  readonly body: string;
  readonly left?: number;
  readonly top?: number;
  readonly width?: number;
  readonly height?: number;
}

interface Alias extends Partial<Icon> {
  readonly parent: string;
  readonly hFlip?: boolean;
}

interface IconSet {
  readonly width?: number;
  readonly height?: number;
  readonly icons: Record<string, Icon>;
  readonly aliases?: Record<string, Alias>;
}

/** Renders `icons` of `style` in this order, or finds them rendered. Without a writable cache they stay in memory. */
export async function openRaster(style: Style, icons: readonly string[], size: number): Promise<Raster> {
  const bytes = size * size * 3;
  const file = await cacheFile(style, icons, size);
  const cached = file === undefined ? undefined : await stat(file).catch(() => undefined);
  if (cached?.size === bytes * icons.length) return fileRaster(file!, bytes);
  const pixels = await render(style, icons, size);
  return file !== undefined && (await writeCached(file, [pixels]))
    ? fileRaster(file, bytes)
    : { read: async (i) => pixels.slice(i * bytes, (i + 1) * bytes) };
}

/** Named by everything that the pixels depend on. */
async function cacheFile(style: Style, icons: readonly string[], size: number): Promise<string | undefined> {
  const version = await versionOf(`@iconify-json/${style}`);
  const content = createHash("sha256")
    .update(JSON.stringify([icons, sharp.versions.rsvg]))
    .digest("hex")
    .slice(0, 12);
  const folder = cacheFolder();
  return folder && join(folder, `emoji-${style}-${version}-${size}px-${content}.rgb`);
}

/** The file is opened for each read (some 20 µs): a source has no end at which to close it. */
function fileRaster(file: string, bytes: number): Raster {
  return {
    async read(i) {
      const pixels = new Uint8Array(bytes);
      const handle = openSync(file, "r");
      try {
        if (readSync(handle, pixels, 0, bytes, i * bytes) !== bytes)
          throw new Error(`${file} has been cut short; delete it`);
      } finally {
        closeSync(handle);
      }
      return pixels;
    },
  };
}

async function render(style: Style, icons: readonly string[], size: number): Promise<Uint8Array> {
  const set = (await readInstalled(`@iconify-json/${style}/icons.json`)) as IconSet;
  const bytes = size * size * 3;
  const pixels = new Uint8Array(bytes * icons.length);
  let next = 0;
  const draw = async () => {
    for (let i = next++; i < icons.length; i = next++) {
      const image = sharp(Buffer.from(svg(set, icons[i]!, size))).flatten({ background: "#ffffff" });
      const { data, info } = await image.toColourspace("srgb").raw().toBuffer({ resolveWithObject: true });
      if (info.channels !== 3 || data.length !== bytes)
        throw new Error(`${style} icon ${icons[i]} came out as ${info.width} × ${info.height} × ${info.channels}`);
      pixels.set(data, i * bytes);
    }
  };
  await Promise.all([draw(), draw(), draw(), draw()]);
  return pixels;
}

function svg(set: IconSet, name: string, size: number): string {
  const { left = 0, top = 0, width = set.width ?? 16, height = set.height ?? 16, body } = resolve(set, name);
  const attributes = `viewBox="${left} ${top} ${width} ${height}" width="${size}" height="${size}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ${attributes}>${body}</svg>`;
}

/** Follows aliases, of which some mirror their parent. */
function resolve(set: IconSet, name: string): Icon {
  const icon = set.icons[name];
  if (icon !== undefined) return icon;
  const alias = set.aliases?.[name];
  if (alias === undefined) throw new Error(`there is no icon ${name}`);
  const { parent, hFlip, ...own } = alias;
  const whole = { ...resolve(set, parent), ...own };
  if (hFlip !== true) return whole;
  const axis = 2 * (whole.left ?? 0) + (whole.width ?? set.width ?? 16);
  return { ...whole, body: `<g transform="translate(${axis} 0) scale(-1 1)">${whole.body}</g>` };
}
