/**
 * What the page in page/ needs from a run, into page/public: the encoder, and a gallery of images with their features.
 *
 *     node dist/examples/browser/prepare.js runs/photos [photos]
 */
import { mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { defineRecipe, exportOnnx, loadEncoder, openSource, type Pixels, runs, type Source, subset } from "layergraft";
import sharp from "sharp";
import type { Gallery } from "./gallery.ts";

/** Side of a thumbnail and white around it, which keeps neighbours on the sheet apart when it is scaled; pixels. */
const side = 60;
const margin = 2;
/** Browsers draw images of up to 4,096 pixels a side everywhere. */
const columns = 64;
const mostImages = columns ** 2;

/** Writes encoder.onnx, gallery.json, gallery.bin and gallery.webp to `out`. Returns the number of images. */
export async function prepare(run: string, images: Source, out: string): Promise<number> {
  await mkdir(out, { recursive: true });
  const encoder = await loadEncoder(run);
  await writeFile(join(out, "encoder.onnx"), exportOnnx(encoder, { attention: true }));
  const step = Math.ceil(images.length / mostImages);
  const chosen = Array.from({ length: Math.ceil(images.length / step) }, (_, i) => i * step);
  const { width, rows, unreadable = [] } = await encoder.features(subset(images, chosen));
  await encoder.release();

  const bad = new Set(unreadable.map(({ index }) => index));
  const shown = chosen.filter((_, i) => !bad.has(i));
  for (let at = 0; at < rows.length; at += width) {
    const row = rows.subarray(at, at + width);
    const norm = Math.hypot(...row);
    for (let i = 0; i < width; i++) row[i]! /= norm;
  }
  const { imageSize, patchSize, width: modelWidth, depth } = encoder.model;
  const gallery: Gallery = {
    encoder: `ViT of width ${modelWidth} and depth ${depth}, ${imageSize} px in patches of ${patchSize}`,
    view: encoder.view,
    names: shown.map((i) => images.id(i)),
    thumbnails: { columns, rows: Math.ceil(shown.length / columns), side, margin },
  };
  await writeFile(join(out, "gallery.json"), JSON.stringify(gallery));
  await writeFile(join(out, "gallery.bin"), rows);
  await writeFile(join(out, "gallery.webp"), await sheetOf(images, shown, gallery.thumbnails));
  return shown.length;
}

/** All thumbnails in one picture: one file to load instead of thousands. */
async function sheetOf(
  images: Source,
  shown: readonly number[],
  { rows, columns, side, margin }: Gallery["thumbnails"],
) {
  const cell = side + 2 * margin;
  const [width, height] = [columns * cell, rows * cell];
  const sheet = new Uint8Array(width * height * 3).fill(255);
  for (const [place, image] of shown.entries()) {
    const small = await thumbnail(await images.load(image));
    const [top, left] = [Math.floor(place / columns) * cell + margin, (place % columns) * cell + margin];
    for (let y = 0; y < side; y++)
      sheet.set(small.subarray(3 * y * side, 3 * (y + 1) * side), 3 * ((top + y) * width + left));
  }
  const raw = { width, height, channels: 3 } as const;
  return sharp(sheet, { raw }).webp({ quality: 85 }).toBuffer();
}

function thumbnail({ data, width, height }: Pixels): Promise<Buffer> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .resize(side, side)
    .raw()
    .toBuffer();
}

async function main([run, folder]: readonly string[]) {
  if (run === undefined) throw new Error("which run? node dist/examples/browser/prepare.js RUN [IMAGES]");
  const data =
    folder === undefined ? defineRecipe(runs.openRun(run).recipe).data : ({ kind: "folder", path: folder } as const);
  const out = join(dirname(dirname(dirname(import.meta.dirname))), "examples/browser/page/public");
  const count = await prepare(run, await openSource(data), out);
  console.log(`${count} images of ${basename(run)} in ${out}; now: npx vite examples/browser/page`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  await main(process.argv.slice(2)).catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
