/**
 * A folder of image files, flat or nested. Two or more subfolders that hold all images are the classes, unless they are
 * called `train` and `test`: then they are splits, and the folders in them are the classes.
 */
import { isUtf8 } from "node:buffer";
import type { Stats } from "node:fs";
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import * as z from "zod";
import { readImage } from "../formats/decode.ts";
import { imageExtensions, isImageName } from "../formats/image-format.ts";
import {
  idOf,
  IndexBuilder,
  type ImageIndex,
  type IndexFacts,
  nameOf,
  type Stamp,
  stampFrom,
  stampOf,
} from "./image-index.ts";
import { imageFiles, shortSideSpec, splitSpec } from "./image-files.ts";
import { openIndexed } from "./indexed.ts";
import type { IndexedKind } from "./kind.ts";
import { splitWords } from "../source.ts";
import { inParallel } from "../in-parallel.ts";
import type { Source } from "../source.ts";

const schema = z.strictObject({
  kind: z.literal("folder"),
  path: z.string().min(1),
  shortSide: shortSideSpec,
  split: splitSpec.describe(
    "of a folder whose subfolders are splits; default: all images. An evaluation always uses all splits",
  ),
});

/**
 * The images below `path`, ordered by path (UTF-16 code units). Links are followed, names need not be UTF-8; names that
 * begin with a dot and files that are not images are left out. The index holds until a folder's entries change.
 */
export const folder: IndexedKind<typeof schema> = {
  schema,
  ...imageFiles,
  argument: {
    help: "folder of images",
    recognise: ({ path }) => ({ clue: "folder", spec: { kind: "folder", path } }),
  },
  key: ({ path }) => [resolve(path)],

  /** Throws when the folder is missing or has no image. */
  async build({ path }) {
    const root = resolve(path);
    const found = await stat(root).catch(() => undefined);
    if (found === undefined) throw new Error(`there is no folder ${path} (looked for ${root})`);
    if (!found.isDirectory()) throw new Error(`${path} is a file; give the folder that holds the images`);
    const { top, others, dependencies } = await walk(root);
    const images = new IndexBuilder();
    collect(top, [], images);
    if (images.length === 0) throw new Error(`no image in ${path}: ${describeOthers(others)}`);
    return images.finish({ ...layout(images), dependencies });
  },

  open: ({ path, shortSide, split }, index) =>
    openIndexed(index, {
      name: path,
      split,
      splitHelp: "subfolders named train and test (or val)",
      load: fileLoader(resolve(path), index, shortSide),
    }),
};

/** Reads the images of an index whose names are paths below the folder `root`. */
export function fileLoader(root: string, index: ImageIndex, shortSide: number | undefined): Source["load"] {
  const start = Buffer.from(`${root}/`);
  return (i, hint) => {
    const name = nameOf(index, i);
    const path = Buffer.concat([start, name]);
    // Libraries take a path as text; what is no text is read here.
    return readImage(isUtf8(path) ? path.toString() : readFile(path), idOf(index, i), shortSide, hint);
  };
}

/** Links to folders that lead on from one another. Folders that link to each other would make any number of paths. */
const mostLinks = 4;

interface Folder {
  readonly path: Buffer;
  readonly parent?: Folder;
  /** Links on the way from the root. */
  readonly links: number;
  /** Device and file number, to know it again. */
  id: string;
  /** Names of its images, packed; and its folders, each after so many images. */
  names: Uint8Array;
  ends: Uint32Array;
  folders: readonly { readonly after: number; readonly name: Buffer; readonly folder: Folder }[];
}

interface Tree {
  readonly top: Folder;
  /** Files that are no images. */
  readonly others: number;
  /** All folders, and those that links to files point into. */
  readonly dependencies: readonly Stamp[];
}

async function walk(root: string): Promise<Tree> {
  const top = unread(Buffer.from(root));
  const dependencies: Stamp[] = [];
  const linkedFrom = new Set<string>();
  let others = 0;

  async function read(here: Folder): Promise<Folder[]> {
    const stats = await stat(here.path, { bigint: true });
    here.id = `${stats.dev}:${stats.ino}`;
    for (let above = here.parent; above !== undefined; above = above.parent) if (above.id === here.id) return [];
    dependencies.push(stampFrom(here.path, stats));
    const entries: { key: string; name: Buffer; folder?: Folder }[] = [];
    const add = (name: Buffer, kind: Pick<Stats, "isDirectory" | "isFile"> | undefined, links: number) => {
      const text = name.toString();
      if (kind?.isDirectory() === true && links <= mostLinks)
        entries.push({ key: `${text}/`, name, folder: unread(below(here.path, name), here, links) });
      else if (kind?.isFile() === true && isImageName(text)) entries.push({ key: text, name });
      else others++;
    };
    const links: Buffer[] = [];
    for (const entry of await readdir(here.path, { withFileTypes: true, encoding: "buffer" })) {
      if (entry.name[0] === dot) continue;
      if (entry.isSymbolicLink()) links.push(entry.name);
      else add(entry.name, entry, here.links);
    }
    await inParallel(links, async (name) => {
      const path = below(here.path, name);
      const [target, kind] = await Promise.all([readlink(path, "latin1"), stat(path).catch(() => undefined)]);
      if (kind?.isDirectory() !== true)
        linkedFrom.add(dirname(target.startsWith("/") ? target : `${here.path.toString("latin1")}/${target}`));
      add(name, kind, here.links + 1);
    });
    // With the slash behind folders, the order of their entries makes the order of all paths.
    entries.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : Buffer.compare(a.name, b.name)));
    const images = entries.filter((entry) => entry.folder === undefined);
    here.names = Buffer.concat(images.map(({ name }) => name));
    let [end, after] = [0, 0];
    here.ends = Uint32Array.from(images, ({ name }) => (end += name.length));
    here.folders = entries.flatMap(({ name, folder }) => {
      if (folder !== undefined) return [{ after, name, folder }];
      after++;
      return [];
    });
    return here.folders.map(({ folder }) => folder);
  }

  for (let level = [top]; level.length > 0;) {
    const next: Folder[] = [];
    await inParallel(level, async (each) => {
      for (const found of await read(each)) next.push(found);
    });
    level = next;
  }
  await inParallel([...linkedFrom], async (path) => {
    dependencies.push(await stampOf(Buffer.from(path, "latin1")));
  });
  return { top, others, dependencies };
}

function unread(path: Buffer, parent?: Folder, links = 0): Folder {
  const nothing = { id: "", names: new Uint8Array(0), ends: new Uint32Array(0), folders: [] };
  return { path, ...(parent === undefined ? {} : { parent }), links, ...nothing };
}

/** Adds the images of a folder and those below it, in order. `prefix`: names of the folders on the way. */
function collect({ names, ends, folders }: Folder, prefix: readonly Uint8Array[], images: IndexBuilder): void {
  let done = 0;
  const addUntil = (count: number) => {
    for (; done < count; done++)
      images.add(Buffer.concat([...prefix, names.subarray(done === 0 ? 0 : ends[done - 1], ends[done])]), {});
  };
  for (const { after, name, folder } of folders) {
    addUntil(after);
    collect(folder, [Buffer.concat([...prefix, name, slash])], images);
  }
  addUntil(ends.length);
}

const dot = 0x2e;
const slash = Buffer.from("/");

function below(path: Buffer, name: Buffer): Buffer {
  return Buffer.concat([path, slash, name]);
}

function describeOthers(count: number): string {
  const read = `images are files that end in ${imageExtensions.join(", ")}`;
  if (count === 0) return `it is empty (${read})`;
  return `its ${count === 1 ? "one file is" : `${count} files are`} of another type (${read})`;
}

/** What the names of the folders say. One class alone tells nothing apart, so it is none. */
export function layout(images: {
  readonly length: number;
  name(i: number): string;
}): Pick<IndexFacts, "classes" | "labelOf" | "splitOf"> {
  const folderOf = (i: number, depth: number) =>
    images
      .name(i)
      .split("/", depth + 2)
      .slice(0, -1)[depth];
  const foldersAt = (depth: number) => {
    const names = new Set<string | undefined>();
    for (let i = 0; i < images.length; i++) names.add(folderOf(i, depth));
    return names;
  };
  const tops = foldersAt(0);
  const found = new Set([...tops].map((name) => splitWords.get(name)));
  const isSplit = tops.size > 1 && found.size === tops.size && found.has("train") && !found.has(undefined);
  const depth = isSplit ? 1 : 0;
  const names = isSplit ? foldersAt(1) : tops;
  if (isSplit) names.delete(undefined); // ImageNet's test images have no class
  const classes = names.has(undefined) || names.size < 2 ? [] : ([...names] as string[]).sort();
  const index = new Map<string | undefined, number>(classes.map((name, i) => [name, i]));
  return {
    classes,
    labelOf: (i) => index.get(folderOf(i, depth)) ?? -1,
    splitOf: isSplit ? (i) => splitWords.get(folderOf(i, 0))! : undefined,
  };
}
