/** Files with many images in each: which they are, what splits their names say, and what the images in them are called. */
import { stat } from "node:fs/promises";
import { dirname, relative, resolve } from "node:path";
import { escape } from "glob";
import { layout } from "./folder.ts";
import { expand, isPattern } from "./glob.ts";
import { type IndexFacts, type Stamp, stampOf } from "./image-index.ts";
import type { Clue, Given } from "./kind.ts";
import { splitWords } from "../source.ts";
import type { Split } from "../source.ts";

/** How files with many images in each are given: one of them, a folder of them, or a pattern. They end in their kind. */
export function archiveArgument<K extends string>(kind: K) {
  const isOne = (name: string) => name.endsWith(`.${kind}`);
  return {
    help: `.${kind} files`,
    recognise({ text, path, entries }: Given): { clue: Clue; spec: { kind: K; path: string } } | undefined {
      if (isOne(text)) return { clue: "archive name", spec: { kind, path } };
      return entries.some(isOne) ? { clue: "archives", spec: { kind, path } } : undefined;
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
  const isWildcard = await isPattern(path);
  if (found === undefined && !isWildcard) throw new Error(`there is no file or folder ${path} (looked for ${full})`);
  const pattern = isWildcard ? path : `${escape(full, { windowsPathsNoEscape: true })}/**/*${ending}`;
  const { paths, dependencies } =
    found?.isFile() === true ? { paths: [full], dependencies: [] } : await expand(pattern);
  const stamps: Stamp[] = [];
  for (const each of paths) stamps.push(await stampOf(each));
  const names = paths.map((each) => relative(sharedFolder(paths), each).replaceAll("\\", "/"));
  const prefixes = paths.length === 1 ? [""] : names.map((name) => `${name}/`);
  return { files: paths, names, prefixes, dependencies: [...stamps, ...dependencies] };
}

function sharedFolder(paths: readonly string[]): string {
  let folder = dirname(paths[0]!);
  while (!paths.every((path) => path.startsWith(folder === "/" ? "/" : `${folder}/`)) && folder !== dirname(folder))
    folder = dirname(folder);
  return folder;
}

export const archiveSplitHelp = "files whose names begin with train and test (or val), or folders with these names";

/**
 * What each file is for, when every name says so, as in `train-00000-of-00005.parquet` or `train/0000.parquet`, and they
 * say different things.
 */
export function splitsOfNames(names: readonly string[]): readonly Split[] | undefined {
  const splits = names.map((name) =>
    name
      .split("/")
      .map((part) => splitWords.get(/^[a-z]+/.exec(part)?.[0]))
      .find((split) => split !== undefined),
  );
  const found = new Set(splits);
  return found.size > 1 && found.has("train") && !found.has(undefined) ? (splits as Split[]) : undefined;
}

/** What the folders in the archives say of their images, as in a folder of images, and what the archives' names say. */
export function packedFacts(
  images: { readonly length: number; name(i: number): string; place(name: "file", i: number): number },
  { files, names, prefixes }: Archives,
): Pick<IndexFacts, "classes" | "labelOf" | "splitOf" | "files"> {
  const fileOf = (i: number) => images.place("file", i);
  const folders = layout({ length: images.length, name: (i) => images.name(i).slice(prefixes[fileOf(i)]!.length) });
  const splits = splitsOfNames(names);
  return { ...folders, ...(splits === undefined ? {} : { splitOf: (i) => splits[fileOf(i)]! }), files };
}

/** Whether a file in an archive is one that systems add, such as `__MACOSX/._1.jpg` or `.DS_Store`. */
export function isHidden(name: string): boolean {
  return name.split("/").some((part) => part.startsWith(".") || part === "__MACOSX");
}
