/** Patterns of paths, such as `photos/**` or `shards/train-{000000..000146}.tar`. */
import { glob as find } from "glob";
import { type Dirent, existsSync, readdir } from "node:fs";
import { readdir as list } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import * as z from "zod";
import { imageExtensions, isImageName } from "../formats/image-format.ts";
import { fileLoader } from "./folder.ts";
import { isRunFolder } from "../run-marker.ts";
import { IndexBuilder, type Stamp, stampOf } from "./image-index.ts";
import { imageFiles, rangeSpec, shortSideSpec, splitSpec } from "./image-files.ts";
import { openIndexed } from "./indexed.ts";
import type { IndexedKind } from "./kind.ts";
import { layout } from "./layout.ts";
import { archiveExtensions, isSystemFolder, Passed } from "./passed.ts";

const schema = z.strictObject({
  kind: z.literal("glob"),
  path: z.string().min(1).describe("pattern of paths: * and ? within a name, ** over folders, {a,b}, {00..99}, [a-z]"),
  shortSide: shortSideSpec,
  range: rangeSpec,
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
    recognise({ isPattern, path, images, passed }) {
      if (!isPattern) return undefined;
      const isOfArchives = images === 0 && archiveExtensions.some((ending) => passed.has(ending));
      return { clue: isOfArchives ? "folder" : "pattern", spec: { kind: "glob", path } };
    },
  },
  folder: ({ path }) => fixedFolder(path),
  key: ({ path }) => [resolve(path)],

  /** Throws when no image matches. */
  async build({ path }) {
    const { paths, passed, dependencies } = await expand(path);
    const root = fixedFolder(path);
    const images = new IndexBuilder();
    for (const each of new Set(paths)) {
      if (!isImageName(each)) passed.file(each);
      else if (each.includes("\ufffd")) for (const name of await namesLike(root, each)) images.add(name, {});
      else images.add(below(root, each), {});
    }
    if (images.length === 0)
      throw new Error(
        `${path} matches ${paths.length} files, but no image (files that end in ${imageExtensions.join(", ")})`,
      );
    const { notes = [], ...facts } = layout(images);
    return images.finish({ ...facts, notes: [...notes, ...passed.notes()], passed: passed.endings, dependencies });
  },

  open: ({ path, shortSide, range, split }, index) =>
    openIndexed(index, {
      name: path,
      split,
      splitHelp: `folders named train and test (or val) in ${fixedFolder(path)}`,
      load: fileLoader(fixedFolder(path), index, { shortSide, range }),
    }),
};

/** Whether a path is a pattern: there are signs of one behind what is called so. */
export function isPattern(path: string): boolean {
  return parsed(path).pattern !== "";
}

/**
 * Absolute paths of the files that match, ordered by UTF-16 code units, and the folders looked into. Names that begin
 * with a dot match only a pattern that begins so; folders that systems add, and runs, are left out unless the pattern
 * names them. Throws one sentence when nothing matches.
 */
export async function expand(
  path: string,
): Promise<{ readonly paths: string[]; readonly passed: Passed; readonly dependencies: readonly Stamp[] }> {
  const { folder: root, pattern } = parsed(path);
  const folders = new Set<string>();
  const runs = new Set<string>();
  const passed = new Passed();
  const fs = {
    readdir(
      path: string,
      options: { withFileTypes: true },
      done: (error: NodeJS.ErrnoException | null, entries?: Dirent[]) => unknown,
    ) {
      folders.add(path);
      readdir(path, options, (error, entries) => {
        if (error?.code === "EACCES" || error?.code === "EPERM") passed.unreadable(below(root, path) || ".", error);
        if (entries && isRunFolder(entries.map(({ name }) => name))) runs.add(path);
        done(error, entries);
      });
    },
  };
  const options = { cwd: root, absolute: true, nodir: true, windowsPathsNoEscape: sep === "\\", fs } as const;
  const found = (await find(pattern, options)).map((each) => each.replaceAll(sep, "/")).sort();
  const left = new Set<string>();
  const paths = found.filter((each) => {
    const names = below(root, each).split("/");
    const named = (name: string) => pattern.split("/").includes(name);
    const at = names.findIndex(
      (name, i) =>
        i < names.length - 1 &&
        !named(name) &&
        (isSystemFolder(name) || runs.has(join(root, ...names.slice(0, i + 1)))),
    );
    if (at === -1) return true;
    const folder = names.slice(0, at + 1).join("/");
    if (!left.has(folder)) {
      left.add(folder);
      if (isSystemFolder(names[at]!)) passed.systemFolder(names[at]!);
      else passed.runFolder(folder);
    }
    return false;
  });
  if (paths.length === 0) {
    const notes = passed.notes();
    const { length } = await find(pattern, { ...options, nocase: true });
    if (found.length === 0 && length > 0) notes.push(`in other capitals it would match ${length.toLocaleString("en")}`);
    throw new Error(`nothing matches ${path} (looked in ${root}${notes.map((note) => `; ${note}`).join("")})`);
  }
  for (const each of paths) folders.add(dirname(each));
  const dependencies: Stamp[] = [];
  for (const each of folders) dependencies.push(await stampOf(each));
  return { paths, passed, dependencies };
}

const signs = /[*?[{(]/;

/**
 * The folder that a pattern names outright, and the rest: `/data/photos` and `2020-*` of `/data/photos/2020-*`. Signs in
 * the name of a folder that is there are none.
 */
function parsed(path: string): { folder: string; pattern: string } {
  const parts = (sep === "\\" ? path.replaceAll("\\", "/") : path).split("/");
  let folder = resolve(path.startsWith("/") ? "/" : ".");
  for (const [i, part] of parts.entries()) {
    const next = resolve(folder, part);
    if (signs.test(part) && !existsSync(next)) return { folder, pattern: parts.slice(i).join("/") };
    folder = next;
  }
  return { folder, pattern: "" };
}

/** `/data/photos` of `/data/photos/2020-*`. */
function fixedFolder(path: string): string {
  return parsed(path).folder;
}

/** The names below `root` that a path with � stands for: they are not UTF-8, and the search for patterns has them as text. */
async function namesLike(root: string, path: string): Promise<Buffer[]> {
  const entries = await list(dirname(path), { encoding: "buffer" }).catch(() => []);
  const folder = Buffer.from(below(root, path).slice(0, -basename(path).length));
  const names = entries.filter((name) => name.toString() === basename(path));
  return names.map((name) => Buffer.concat([folder, name]));
}

function below(root: string, path: string): string {
  return path.slice(root.endsWith("/") ? root.length : root.length + 1);
}
