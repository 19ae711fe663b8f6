/** A folder of image files, flat or nested. Two or more subfolders that hold all images are the classes. */
import { readdir, realpath, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import * as z from "zod";
import { imageExtensions, isImageName, readImage } from "./decode.ts";
import type { Source } from "./source.ts";

export const folderSpec = z.strictObject({
  kind: z.literal("folder"),
  path: z.string().min(1),
  shortSide: z
    .int()
    .min(1)
    .optional()
    .describe("larger images are reduced to this shorter side, in pixels, while they are decoded"),
});

/**
 * Lists the images below `path`, ordered by path (UTF-16 code units). Links are followed; names that begin with a dot
 * and files that are not images are left out. Throws when the folder is missing or has no image.
 */
export async function openFolder({ path, shortSide }: z.infer<typeof folderSpec>): Promise<Source> {
  const root = resolve(path);
  const found = await stat(root).catch(() => undefined);
  if (found === undefined) throw new Error(`there is no folder ${path} (looked for ${root})`);
  if (!found.isDirectory()) throw new Error(`${path} is a file; give the folder that holds the images`);
  const listing: Listing = { images: [], others: 0 };
  await list(root, "", [], listing);
  const files = listing.images.sort();
  if (files.length === 0) throw new Error(`no image in ${path}: ${describeOthers(listing.others)}`);
  const { classes, labels } = classify(files);
  return {
    name: path,
    length: files.length,
    classes,
    id: (i) => files[i]!,
    label: (i) => labels?.[i] ?? -1,
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

/** One subfolder alone tells nothing apart, so it is no class. */
function classify(files: readonly string[]): { classes: string[]; labels?: Int32Array } {
  if (!files.every((file) => file.includes("/"))) return { classes: [] };
  const folders = files.map((file) => file.slice(0, file.indexOf("/")));
  const classes = [...new Set(folders)].sort();
  if (classes.length < 2) return { classes: [] };
  const index = new Map(classes.map((name, i) => [name, i]));
  return { classes, labels: Int32Array.from(folders, (folder) => index.get(folder)!) };
}
