/**
 * A folder of image files, flat or nested. Two or more subfolders that hold all images are the classes, unless they are
 * called `train` and `test`: then they are splits, and the folders in them are the classes.
 */
import { readdir, realpath, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import * as z from "zod";
import { imageExtensions, isImageName, readImage } from "./decode.ts";
import type { Source, Split } from "./source.ts";

export const folderSpec = z.strictObject({
  kind: z.literal("folder"),
  path: z.string().min(1),
  shortSide: z
    .int()
    .min(1)
    .optional()
    .describe("larger images are reduced to this shorter side, in pixels, while they are decoded"),
  split: z
    .enum(["train", "validation", "test"])
    .optional()
    .describe("of a folder whose subfolders are splits; default: all images. An evaluation always uses all splits"),
});

/**
 * Lists the images below `path`, ordered by path (UTF-16 code units). Links are followed; names that begin with a dot
 * and files that are not images are left out. Throws when the folder is missing or has no image or no such split.
 */
export async function openFolder({ path, shortSide, split }: z.infer<typeof folderSpec>): Promise<Source> {
  const root = resolve(path);
  const found = await stat(root).catch(() => undefined);
  if (found === undefined) throw new Error(`there is no folder ${path} (looked for ${root})`);
  if (!found.isDirectory()) throw new Error(`${path} is a file; give the folder that holds the images`);
  const listing: Listing = { images: [], others: 0 };
  await list(root, "", [], listing);
  const all = listing.images.sort();
  if (all.length === 0) throw new Error(`no image in ${path}: ${describeOthers(listing.others)}`);
  const { classes, labelOf, splitOf } = layout(all);
  if (split !== undefined && splitOf === undefined)
    throw new Error(`${path} has no splits; they would be subfolders named train and test (or val)`);
  const files = split === undefined ? all : all.filter((file) => splitOf!(file) === split);
  if (files.length === 0) throw new Error(`${path} has no ${split} split`);
  return {
    name: path,
    length: files.length,
    classes,
    id: (i) => files[i]!,
    label: (i) => labelOf(files[i]!),
    ...(splitOf === undefined ? {} : { split: (i: number) => splitOf(files[i]!) }),
    load: (i) => readImage(join(root, files[i]!), files[i]!, shortSide),
  };
}

interface Listing {
  images: string[];
  others: number;
}

/** Adds what lies in `folder` ("" or "a/b/", below root) to `listing`. `parents`: real paths, to stop at link cycles. */
async function list(root: string, folder: string, parents: readonly string[], listing: Listing): Promise<void> {
  const here = await realpath(join(root, folder));
  if (parents.includes(here)) return;
  for (const entry of await readdir(here, { withFileTypes: true })) {
    if (entry.name.startsWith(".")) continue;
    const kind = entry.isSymbolicLink() ? await stat(join(here, entry.name)).catch(() => undefined) : entry;
    if (kind?.isDirectory() === true) await list(root, `${folder}${entry.name}/`, [...parents, here], listing);
    else if (kind?.isFile() === true && isImageName(entry.name)) listing.images.push(`${folder}${entry.name}`);
    else listing.others++;
  }
}

function describeOthers(count: number): string {
  const read = `images are files that end in ${imageExtensions.join(", ")}`;
  if (count === 0) return `it is empty (${read})`;
  return `its ${count === 1 ? "one file is" : `${count} files are`} of another type (${read})`;
}

const splitNames = new Map<string | undefined, Split>([
  ["train", "train"],
  ["val", "validation"],
  ["validation", "validation"],
  ["test", "test"],
]);

interface Layout {
  readonly classes: readonly string[];
  /** -1: the image is in no class folder. */
  labelOf(file: string): number;
  splitOf?(file: string): Split;
}

/** What the names of the subfolders say. One class alone tells nothing apart, so it is none. */
function layout(files: readonly string[]): Layout {
  const folderOf = (file: string, depth: number) => file.split("/").slice(0, -1)[depth];
  const tops = [...new Set(files.map((file) => folderOf(file, 0)))];
  const found = new Set(tops.map((name) => splitNames.get(name)));
  const isSplit = tops.length > 1 && found.size === tops.length && found.has("train") && !found.has(undefined);
  const depth = isSplit ? 1 : 0;
  const names = new Set(files.map((file) => folderOf(file, depth)));
  if (isSplit) names.delete(undefined); // ImageNet's test images have no class
  const classes = names.has(undefined) || names.size < 2 ? [] : ([...names] as string[]).sort();
  const index = new Map<string | undefined, number>(classes.map((name, i) => [name, i]));
  return {
    classes,
    labelOf: (file) => index.get(folderOf(file, depth)) ?? -1,
    ...(isSplit ? { splitOf: (file: string) => splitNames.get(folderOf(file, 0))! } : {}),
  };
}
