/** Files with many images in each: which they are, what splits their names say, and what the images in them are called. */
import { stat } from "node:fs/promises";
import { dirname, relative, resolve } from "node:path";
import { expand, isPattern } from "./glob.ts";
import { type IndexFacts, type Stamp, stampOf } from "./image-index.ts";
import type { Clue, Given } from "./kind.ts";
import { layout, listed } from "./layout.ts";
import { Passed } from "./passed.ts";
import { type Split, splitOfName } from "../source.ts";
import { imagesBelow, walk } from "./walk.ts";

/** How files with many images in each are given: one of them, a folder of them, or a pattern. They end in their kind. */
export function archiveArgument<K extends string>(kind: K) {
  return {
    help: `.${kind} files`,
    recognise({ text, path, passed }: Given): { clue: Clue; spec: { kind: K; path: string } } | undefined {
      if (text.toLowerCase().endsWith(`.${kind}`)) return { clue: "archive name", spec: { kind, path } };
      return passed.has(`.${kind}`) ? { clue: "archives", spec: { kind, path } } : undefined;
    },
  };
}

export interface Archives {
  /** Absolute paths, ordered by UTF-16 code units. */
  readonly files: readonly string[];
  /** For messages: their paths below the folder that they share. */
  readonly names: readonly string[];
  /** What the name of an image begins with: that path, unless there is only one file. */
  readonly prefixes: readonly string[];
  /** See Source.notes: what lies beside them. */
  readonly notes: readonly string[];
  /** Beginning with the files themselves. */
  readonly dependencies: readonly Stamp[];
}

/**
 * The files that `path` means: one, those below a folder whose names end in `ending`, or those that match a pattern.
 * Throws one sentence when there are none.
 */
export async function archivesAt(path: string, ending: string): Promise<Archives> {
  const full = resolve(path);
  const found = await stat(full).catch(() => undefined);
  if (found === undefined && !isPattern(path))
    throw new Error(`there is no file or folder ${path} (looked for ${full})`);
  const { paths, notes, dependencies } = await (found?.isFile() === true
    ? { paths: [full], notes: [], dependencies: [] }
    : found === undefined
      ? matching(path, ending)
      : below(path, ending));
  const stamps: Stamp[] = [];
  for (const each of paths) stamps.push(await stampOf(each));
  const names = paths.map((each) => relative(sharedFolder(paths), each).replaceAll("\\", "/"));
  const prefixes = paths.length === 1 ? [""] : names.map((name) => `${name}/`);
  return { files: paths, names, prefixes, notes, dependencies: [...stamps, ...dependencies] };
}

async function matching(pattern: string, ending: string) {
  const { paths, passed, dependencies } = await expand(pattern);
  const ours = paths.filter((each) => each.toLowerCase().endsWith(ending));
  if (ours.length === 0) throw new Error(`${pattern} matches ${paths.length} files, but no ${ending}`);
  return { paths: ours, notes: passed.notes(), dependencies };
}

async function below(path: string, ending: string) {
  const { top, archives, passed, dependencies } = await walk(resolve(path));
  const paths = archives.get(ending)!;
  if (paths.length === 0)
    throw new Error(`no ${ending} file in ${path}: ${passed.notes().join("; ") || "it is empty"}`);
  passed.endings.delete(ending);
  const loose = imagesBelow(top);
  const images = loose === 1 ? "1 image" : `${loose.toLocaleString("en")} images`;
  const beside = loose === 0 ? [] : [`${images} beside the ${ending} files ${loose === 1 ? "is" : "are"} not read`];
  return { paths, notes: [...beside, ...passed.notes()], dependencies };
}

function sharedFolder(paths: readonly string[]): string {
  let folder = dirname(paths[0]!);
  while (!paths.every((path) => path.startsWith(folder === "/" ? "/" : `${folder}/`)) && folder !== dirname(folder))
    folder = dirname(folder);
  return folder;
}

export const archiveSplitHelp = "files whose names begin with train and test (or val), or folders with these names";

/**
 * What each file is for, when their names say so, as in `train-00000-of-00005.parquet` or `test/0000.parquet`, and they
 * say different things, train among them. Those that say nothing are for training if they are fewer, and `notes` has it.
 */
export function splitsOfNames(names: readonly string[], notes: string[] = []): readonly Split[] | undefined {
  const splits = names.map((name) =>
    name
      .split("/")
      .map(splitOfName)
      .findLast((split) => split !== undefined),
  );
  const silent = names.filter((_, i) => splits[i] === undefined);
  const found = new Set(splits);
  found.delete(undefined);
  const isDivided = found.size > 1 && found.has("train") && 2 * silent.length < names.length;
  if (silent.length > 0 && found.size > 1)
    notes.push(
      `${listed(silent)} ${silent.length === 1 ? "is" : "are"} not called like a split, unlike ` +
        `${listed(names.filter((name) => !silent.includes(name)))}: ` +
        (isDivided ? "it is trained on" : "there are no splits"),
    );
  return isDivided ? splits.map((split) => split ?? "train") : undefined;
}

/** What the folders in the archives say of their images, as in a folder of images, and what the archives' names say. */
export function packedFacts(
  images: { readonly length: number; name(i: number): string; place(name: "file", i: number): number },
  { files, names, prefixes, notes }: Archives,
  passed: Passed,
): Omit<IndexFacts, "dependencies"> & { readonly notes: readonly string[] } {
  const found: string[] = [];
  const splits = splitsOfNames(names, found);
  const folders = layout({
    length: images.length,
    name(i) {
      const file = images.place("file", i);
      const name = images.name(i).slice(prefixes[file]!.length);
      return splits === undefined ? name : `${splits[file]}/${name}`;
    },
  });
  return { ...folders, files, notes: [...found, ...(folders.notes ?? []), ...notes, ...passed.notes()] };
}
