/** Patterns of paths, such as `photos/**` or `shards/train-{000000..000146}.tar`. */
import { type FSOption, glob as find } from "glob";
import { readdir } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import * as z from "zod";
import { imageExtensions, isImageName } from "../formats/image-format.ts";
import { fileLoader, layout } from "./folder.ts";
import { IndexBuilder, type Stamp, stampOf } from "./image-index.ts";
import { imageFiles, shortSideSpec, splitSpec } from "./image-files.ts";
import { openIndexed } from "./indexed.ts";
import type { IndexedKind } from "./kind.ts";

const schema = z.strictObject({
  kind: z.literal("glob"),
  path: z.string().min(1).describe("pattern of paths: * and ? within a name, ** over folders, {a,b}, {00..99}, [a-z]"),
  shortSide: shortSideSpec,
  split: splitSpec.describe("of images in folders that are splits, as in a folder; default: all images"),
});

/**
 * The image files that a pattern matches, as a folder has them: ordered by path, and labelled by the folders below the
 * last one that the pattern names outright. The index holds until the entries change of a folder that was looked into.
 */
export const glob: IndexedKind<typeof schema> = {
  schema,
  ...imageFiles,
  argument: {
    help: "'pattern/**/*.jpg'",
    recognise: ({ isPattern, path }) => (isPattern ? { clue: "pattern", spec: { kind: "glob", path } } : undefined),
  },
  folder: ({ path }) => fixedFolder(path),
  key: ({ path }) => [resolve(path)],

  /** Throws when no image matches. */
  async build({ path }) {
    const { paths, dependencies } = await expand(path);
    const found = paths.filter((each) => isImageName(each));
    if (found.length === 0)
      throw new Error(
        `${path} matches ${paths.length} files, but no image (files that end in ${imageExtensions.join(", ")})`,
      );
    const root = fixedFolder(path);
    const images = new IndexBuilder();
    for (const each of found) images.add(each.slice(root.length + 1), {});
    return images.finish({ ...layout(images), dependencies });
  },

  open: ({ path, shortSide, split }, index) =>
    openIndexed(index, {
      name: path,
      split,
      splitHelp: `folders named train and test (or val) in ${fixedFolder(path)}`,
      load: fileLoader(fixedFolder(path), index, shortSide),
    }),
};

/** Whether a path is a pattern: it has signs of one, and nothing is called so. */
export async function isPattern(path: string): Promise<boolean> {
  return signs.test(path) && (await stat(path).catch(() => undefined)) === undefined;
}

/**
 * Absolute paths of the files that match, ordered by UTF-16 code units, and the folders looked into. Names that begin
 * with a dot match only a pattern that begins so. Throws one sentence when nothing matches.
 */
export async function expand(pattern: string): Promise<{ paths: string[]; dependencies: Stamp[] }> {
  const folders = new Set<string>();
  const watched: FSOption = {
    readdir(path, options, done) {
      folders.add(path);
      readdir(path, options, done);
    },
  };
  const options = { absolute: true, nodir: true, posix: true, windowsPathsNoEscape: true, fs: watched } as const;
  const paths = (await find(pattern, options)).sort();
  if (paths.length === 0) throw new Error(`nothing matches ${pattern} (looked in ${fixedFolder(pattern)})`);
  for (const path of paths) folders.add(dirname(path));
  const dependencies: Stamp[] = [];
  for (const folder of folders) dependencies.push(await stampOf(folder));
  return { paths, dependencies };
}

const signs = /[*?[{(]/;

/** The folder that a pattern names before its first sign: `/data/photos` of `/data/photos/2020-*`. */
export function fixedFolder(pattern: string): string {
  const parts = pattern.replaceAll("\\", "/").split("/");
  const first = parts.findIndex((part) => signs.test(part));
  return resolve(parts.slice(0, Math.max(first, 0)).join("/") || (pattern.startsWith("/") ? "/" : "."));
}
