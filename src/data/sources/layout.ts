/**
 * What the folders that images lie in say of them. Folders around all images say nothing. Folders called like splits,
 * train among them, are splits (`splitOfName`), on whatever level they stand; the other folders are the classes.
 */
import { shown } from "../../tensor/text.ts";
import { type Split, splitOfName, splitWords } from "../source.ts";
import type { IndexFacts } from "./image-index.ts";

export interface Named {
  readonly length: number;
  /** A path with `/` between folders. */
  name(i: number): string;
}

/** A folder with images right in it. */
interface Folder {
  /** Names of the folders on the way to it. */
  path: readonly string[];
  readonly images: number;
  readonly first: string;
  split?: Split | undefined;
}

/** Classes are the folders right below the splits, or at the top. One alone tells nothing apart, so it is none. */
export function layout(images: Named): Pick<IndexFacts, "classes" | "labelOf" | "splitOf" | "notes"> {
  const { folders, folderOf } = foldersOf(images);
  strip(folders, sharedBy(folders));
  const notes: string[] = [];
  const top = new Set(folders.map(({ path }) => path[0]));
  const level = splitLevel(folders);
  const isCalled = [...top].map((name) => name !== undefined && splitOfName(name) !== undefined);
  let members = folders;
  let isLoose = false;
  if (level !== undefined) {
    members = divide(folders, level, notes);
  } else if (top.size > 1 && isCalled.every(Boolean)) {
    if (![...top].some((name) => splitOfName(name!) === "train"))
      notes.push(
        `${listed(top)} are called like splits, but none like train: all images are taken together, without splits`,
      );
    divide(folders, 0, []);
  } else {
    isLoose = top.has(undefined);
    const called = [...top].filter((_, i) => isCalled[i]);
    const others = listed([...top].filter((name) => !called.includes(name)));
    if (called.length > 0 && !isLoose && sharedBelow(folders) > 1) {
      notes.push(`${listed(called)} is called like a split, but not ${others}: all images are taken together`);
      strip(folders, 1);
    } else if (called.length > 0 && !isLoose)
      notes.push(
        `${listed(called)} ${called.length === 1 ? "is" : "are"} called like a split, but not ` +
          `${others}: all are taken for classes`,
      );
  }

  const names = new Set(members.map(({ path }) => path[0]));
  const stray = folders.filter(({ path }) => path.length === 0);
  if (isLoose && names.size > 2)
    notes.push(
      `${counted(stray)} beside the folders ${listed(names)} (${shown(stray[0]!.first)}), so that these are no classes`,
    );
  names.delete(undefined);
  const classes = isLoose || names.size < 2 ? [] : ([...names] as string[]).sort();
  const numbers = new Map<string | undefined, number>(classes.map((name, i) => [name, i]));
  const known = new Set(members);
  const labels = folders.map((folder) => (known.has(folder) ? (numbers.get(folder.path[0]) ?? -1) : -1));
  return {
    classes,
    labelOf: (i) => labels[folderOf[i]!]!,
    splitOf: level === undefined ? undefined : (i) => folders[folderOf[i]!]!.split!,
    notes,
  };
}

/** The folders with images in them, and of each image the number of its folder. Names are compared in one Unicode form. */
function foldersOf(images: Named): { folders: Folder[]; folderOf: Int32Array } {
  const numbers = new Map<string, number>();
  const found: { path: string; images: number; first: string }[] = [];
  const folderOf = new Int32Array(images.length);
  for (let i = 0; i < images.length; i++) {
    const name = images.name(i);
    const path = name.slice(0, Math.max(name.lastIndexOf("/"), 0));
    let number = numbers.get(path);
    if (number === undefined) {
      number = found.length;
      numbers.set(path, number);
      found.push({ path, images: 0, first: name });
    }
    found[number]!.images++;
    folderOf[i] = number;
  }
  const folders = found.map(({ path, ...rest }) => ({
    path: path === "" ? [] : path.normalize("NFC").split("/"),
    ...rest,
  }));
  return { folders, folderOf };
}

/** How many folders lie around all these. */
function sharedBy(folders: readonly Folder[]): number {
  const [first, ...others] = folders;
  let length = first?.path.length ?? 0;
  for (const { path } of others) {
    let same = 0;
    while (same < length && path[same] === first!.path[same]) same++;
    length = same;
  }
  return length;
}

function strip(folders: readonly Folder[], levels: number): void {
  for (const folder of folders) folder.path = folder.path.slice(levels);
}

/**
 * The highest level on which folders are called like train and another split. There must be more of them than of others,
 * unless two are called just so: among twenty classes one may well be `train` and one `test tube`.
 */
function splitLevel(folders: readonly Folder[]): number | undefined {
  for (let level = 0; ; level++) {
    const names = new Set(folders.map(({ path }) => path[level]));
    if (level > 0 && names.has(undefined)) return undefined;
    const called = [...names].filter((name) => name !== undefined && splitOfName(name) !== undefined) as string[];
    const splits = new Set(called.map(splitOfName));
    const exact = new Set(called.map((name) => splitWords.get(name.toLowerCase())).filter(Boolean));
    const others = names.size - called.length;
    const most = exact.has("train") && exact.size > 1 ? 2 * called.length : called.length - 1;
    if (splits.has("train") && splits.size > 1 && others <= most) return level;
    if (names.has(undefined)) return undefined;
  }
}

/**
 * Gives every folder its split and takes that level out of its path. Returns the folders that are in a split; the others
 * are for training.
 */
function divide(folders: readonly Folder[], level: number, notes: string[]): Folder[] {
  const names = new Set(folders.map(({ path }) => path[level]));
  const called = new Set([...names].filter((name) => name !== undefined && splitOfName(name) !== undefined));
  const inside = folders.filter(({ path }) => called.has(path[level]));
  const outside = folders.filter(({ path }) => !called.has(path[level]));
  if (outside.length > 0)
    notes.push(
      `${counted(outside)} in no split, but beside ${listed(called)} (${shown(outside[0]!.first)}): ` +
        "trained on without a class",
    );
  for (const folder of outside) folder.split = "train";
  for (const folder of inside) {
    folder.split = splitOfName(folder.path[level]!);
    folder.path = folder.path.toSpliced(level, 1);
  }
  stripSplits(inside);
  alignCase(inside);
  return inside;
}

/** A folder that train has in other capitals is the same class. */
function alignCase(folders: readonly Folder[]): void {
  const taught = new Set(folders.flatMap(({ path, split }) => (split === "train" ? (path[0] ?? []) : [])));
  const spelled = new Map<string, string[]>();
  for (const name of taught) spelled.set(name.toLowerCase(), [...(spelled.get(name.toLowerCase()) ?? []), name]);
  for (const folder of folders) {
    const [name, ...rest] = folder.path;
    if (name === undefined || taught.has(name)) continue;
    const [same, ...more] = spelled.get(name.toLowerCase()) ?? [];
    if (same !== undefined && more.length === 0) folder.path = [same, ...rest];
  }
}

/**
 * Folders around all images of a split are no classes: those of all splits, `train` in `train`, and one that no split has
 * beside others, such as `images` in `val` and `test` where `train` has classes.
 */
function stripSplits(folders: readonly Folder[]): void {
  const groups = new Map<Split, Folder[]>();
  for (const folder of folders) {
    const group = groups.get(folder.split!);
    if (group === undefined) groups.set(folder.split!, [folder]);
    else group.push(folder);
  }
  const topsOf = (group: readonly Folder[]) => new Set(group.map(({ path }) => path[0]?.toLowerCase()));
  for (;;) {
    const shared = sharedBy(folders);
    strip(folders, shared);
    const tops = new Map([...groups].map(([split, group]) => [split, topsOf(group)]));
    const around = [...groups].find(([split]) => {
      const [name, ...more] = tops.get(split)!;
      if (name === undefined || more.length > 0) return false;
      return splitOfName(name) === split || [...tops.values()].every((names) => !names.has(name) || names.size === 1);
    });
    if (around === undefined) return;
    strip(around[1], 1);
  }
}

/** How many folders are called the same in all folders at the top: parts of a data set have the same classes. */
function sharedBelow(folders: readonly Folder[]): number {
  const below = new Map<string | undefined, Set<string | undefined>>();
  for (const { path } of folders) {
    const names = below.get(path[0]);
    if (names === undefined) below.set(path[0], new Set([path[1]]));
    else names.add(path[1]);
  }
  const [first, ...others] = [...below.values()];
  return [...first!].filter((name) => name !== undefined && others.every((names) => names.has(name))).length;
}

function counted(folders: readonly Folder[]): string {
  const images = folders.reduce((sum, folder) => sum + folder.images, 0);
  return images === 1 ? "1 image lies" : `${images.toLocaleString("en")} images lie`;
}

const mostListed = 4;

/** `cat, dog and owl`, `cat, dog, owl and 17 more`. */
export function listed(names: Iterable<string | undefined>): string {
  const all = [...names].flatMap((name) => (name === undefined ? [] : shown(name))).sort();
  const some = all.length > mostListed ? [...all.slice(0, mostListed - 1), `${all.length - mostListed + 1} more`] : all;
  return some.length === 1 ? some[0]! : `${some.slice(0, -1).join(", ")} and ${some.at(-1)}`;
}
