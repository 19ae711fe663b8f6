/** Images that a text file lists, one a line, with labels or without. */
import { dirname, resolve } from "node:path";
import * as z from "zod";
import { readImage } from "./decode.ts";
import type { Source } from "./source.ts";
import { readList } from "./split-file.ts";

export const listSpec = z.strictObject({
  kind: z.literal("list"),
  path: z.string().min(1).describe("text file with an image a line: its path and, if it has one, its label"),
  root: z.string().min(1).optional().describe("folder that paths in the list start from; default: the list's own"),
  shortSide: z
    .int()
    .min(1)
    .optional()
    .describe("larger images are reduced to this shorter side, in pixels, while they are decoded"),
});

/**
 * The images of a list, in its order. Labels are names or numbers; the classes are the different ones, sorted. One label
 * alone tells nothing apart, so it is none. No image is opened before it is asked for. Throws when the list is missing
 * or empty, or when only some of its lines have a label.
 */
export async function openList({ path, root, shortSide }: z.infer<typeof listSpec>): Promise<Source> {
  const images = await readList(path);
  const [first] = images;
  const other = images.find(({ label }) => (label === undefined) !== (first!.label === undefined));
  if (other !== undefined)
    throw new Error(
      `${path}, line ${other.line} has ${other.label === undefined ? "no label" : `the label ${other.label}`}, ` +
        `unlike line ${first!.line}; give a label to all images or to none`,
    );
  const folder = resolve(root ?? dirname(path));
  const names = new Set(images.map(({ label }) => label ?? ""));
  const classes = names.size < 2 ? [] : [...names].sort(byNumberOrName);
  const index = new Map(classes.map((name, i) => [name, i]));
  return {
    name: path,
    length: images.length,
    classes,
    id: (i) => images[i]!.path,
    label: (i) => index.get(images[i]!.label ?? "") ?? -1,
    load: (i) => readImage(resolve(folder, images[i]!.path), images[i]!.path, shortSide),
  };
}

/** Numbers by size and before names; names by UTF-16 code units, as folders are. */
function byNumberOrName(a: string, b: string): number {
  const [x, y] = [Number(a), Number(b)];
  if (Number.isNaN(x) || Number.isNaN(y)) {
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
    return a < b ? -1 : 1;
  }
  return x - y || (a < b ? -1 : 1);
}
