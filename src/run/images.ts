/** images.json: which images a run was begun with, so that a resumed one is sure to see the same. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import type { Source } from "../data/source.ts";
import { readJson, writeJson } from "./json.ts";

const imagesSchema = z.object({
  count: z.int(),
  /** SHA-256 of their names in order, a line each. */
  names: z.string(),
});
export type Images = z.infer<typeof imagesSchema>;

/** What tells the images of a source from others: number, names and order. Their content is not looked at. */
export function imagesIn(source: Source): Images {
  const hash = createHash("sha256");
  let text = "";
  for (let i = 0; i < source.length; i++) {
    // systems write the same letters in two forms
    text += `${source.id(i).normalize()}\n`;
    if (text.length < 2 ** 16 && i < source.length - 1) continue;
    hash.update(text);
    text = "";
  }
  return { count: source.length, names: hash.digest("hex") };
}

/** Undefined for a run that was begun by an earlier version. */
export function readImages(dir: string): Images | undefined {
  return readJson(join(dir, fileName), imagesSchema);
}

export function writeImages(dir: string, images: Images): void {
  writeJson(join(dir, fileName), images);
}

/** `80 images, but photos has 40`: what was begun with, and what `where` has now. Undefined where they are the same. */
export function differenceOf(begun: Images, found: Images, where: string): string | undefined {
  if (begun.names === found.names) return undefined;
  return begun.count === found.count
    ? `${begun.count} images, and ${where} has as many, but with other names or in another order`
    : `${begun.count} images, but ${where} has ${found.count}`;
}

const fileName = "images.json";
