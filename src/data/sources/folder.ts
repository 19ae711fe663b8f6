/** A folder of image files, flat or nested. What its subfolders mean: see `layout.ts`. */
import { isUtf8 } from "node:buffer";
import { readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";
import * as z from "zod";
import { type DecodeOptions, readImage } from "../formats/decode.ts";
import { idOf, IndexBuilder, type ImageIndex, nameOf } from "./image-index.ts";
import { imageFiles, rangeSpec, shortSideSpec, splitSpec } from "./image-files.ts";
import { refusal } from "./passed.ts";
import { openIndexed } from "./indexed.ts";
import type { IndexedKind } from "./kind.ts";
import { layout } from "./layout.ts";
import type { Source } from "../source.ts";
import { collect, walk } from "./walk.ts";

const schema = z.strictObject({
  kind: z.literal("folder"),
  path: z.string().min(1),
  shortSide: shortSideSpec,
  range: rangeSpec,
  split: splitSpec.describe(
    "of a folder whose subfolders are splits; default: all images. An evaluation always uses all splits",
  ),
});

/**
 * The images below `path`, ordered by path (UTF-16 code units). Links are followed, names need not be UTF-8. What is left
 * out is noted: see `Passed`. The index holds until a folder's entries change.
 */
export const folder: IndexedKind<typeof schema> = {
  schema,
  ...imageFiles,
  argument: {
    help: "folder of images",
    recognise: ({ path, isPattern, images }) =>
      isPattern ? undefined : { clue: images > 0 ? "images" : "folder", spec: { kind: "folder", path } },
  },
  key: ({ path }) => [resolve(path)],

  /** Throws when the folder is missing or has no image. */
  async build({ path }) {
    const root = resolve(path);
    const found = await stat(root).catch(() => undefined);
    if (found === undefined) throw new Error(`there is no folder ${path} (looked for ${root})`);
    if (!found.isDirectory()) throw new Error(refusal(path));
    const { top, passed, dependencies } = await walk(root);
    const images = new IndexBuilder();
    collect(top, [], images);
    if (images.length === 0) throw new Error(`no image in ${path}: ${passed.instead()}`);
    const { notes = [], ...facts } = layout(images);
    return images.finish({ ...facts, notes: [...notes, ...passed.notes()], passed: passed.endings, dependencies });
  },

  open: ({ path, shortSide, range, split }, index) =>
    openIndexed(index, {
      name: path,
      split,
      splitHelp: "subfolders named train and test (or val)",
      load: fileLoader(resolve(path), index, { shortSide, range }),
    }),
};

/** Reads the images of an index whose names are paths below the folder `root`. */
export function fileLoader(root: string, index: ImageIndex, options: DecodeOptions): Source["load"] {
  const start = Buffer.from(`${root}/`);
  return (i, hint) => {
    const name = nameOf(index, i);
    const path = Buffer.concat([start, name]);
    // Libraries take a path as text; what is no text is read here.
    return readImage(isUtf8(path) ? path.toString() : readFile(path), idOf(index, i), options, hint);
  };
}
