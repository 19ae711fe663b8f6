/** One walk through a folder: its images, its files with many images in each, and what is passed over. */
import type { Stats } from "node:fs";
import { readdir, readlink, stat } from "node:fs/promises";
import { dirname, extname } from "node:path";
import { isImageName } from "../formats/image-format.ts";
import { inParallel } from "../in-parallel.ts";
import { isRunFolder } from "../run-marker.ts";
import { type IndexBuilder, type Stamp, stampFrom, stampOf } from "./image-index.ts";
import { archiveExtensions, isSystemFolder, Passed, reasonOf } from "./passed.ts";

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

export interface Walk {
  readonly top: Folder;
  /** Files with many images in each: absolute paths, by their endings in lower case. */
  readonly archives: ReadonlyMap<string, readonly string[]>;
  readonly passed: Passed;
  /** All folders, and those that links to files point into. */
  readonly dependencies: readonly Stamp[];
}

/** Folders that cannot be read are passed over, and so are runs, except the first: then it throws one sentence. */
export async function walk(root: string): Promise<Walk> {
  const top = unread(Buffer.from(root));
  const dependencies: Stamp[] = [];
  const linkedFrom = new Set<string>();
  const archives = new Map<string, string[]>(archiveExtensions.map((ending) => [ending, []]));
  const passed = new Passed();
  const nameOf = (path: Buffer) => path.toString("utf8", root === "/" ? 1 : top.path.length + 1);

  async function read(here: Folder): Promise<Folder[]> {
    const isTop = here === top;
    const stats = await stat(here.path, { bigint: true });
    here.id = `${stats.dev}:${stats.ino}`;
    for (let above = here.parent; above !== undefined; above = above.parent) if (above.id === here.id) return [];
    dependencies.push(stampFrom(here.path, stats));
    const found = await readdir(here.path, { withFileTypes: true, encoding: "buffer" });
    if (isRunFolder(found.map(({ name }) => name.toString()))) {
      if (isTop) throw new Error("it is a run folder, whose pictures are no images to train on; give the images");
      passed.runFolder(nameOf(here.path));
      return [];
    }
    const entries: { key: string; name: Buffer; folder?: Folder }[] = [];
    const add = (name: Buffer, kind: Pick<Stats, "isDirectory" | "isFile">, links: number) => {
      const text = name.toString();
      if (kind.isDirectory() && isSystemFolder(text)) passed.systemFolder(text);
      else if (kind.isDirectory() && links <= mostLinks)
        entries.push({ key: `${text}/`, name, folder: unread(below(here.path, name), here, links) });
      else if (kind.isFile() && isImageName(text)) entries.push({ key: text, name });
      else if (!kind.isDirectory() && !kind.isFile())
        passed.unreadable(nameOf(below(here.path, name)), "it is no file");
      else if (kind.isFile()) {
        passed.file(text);
        archives.get(extname(text).toLowerCase())?.push(below(here.path, name).toString());
      }
    };
    const links: Buffer[] = [];
    for (const entry of found) {
      if (entry.name[0] === dot) passed.dotted(entry.name.toString());
      else if (entry.isSymbolicLink()) links.push(entry.name);
      else add(entry.name, entry, here.links);
    }
    await inParallel(links, async (name) => {
      const path = below(here.path, name);
      const [target, kind] = await Promise.all([
        readlink(path, "latin1").catch(() => ""),
        stat(path).catch((error: NodeJS.ErrnoException) => error),
      ]);
      if (kind instanceof Error || !kind.isDirectory())
        linkedFrom.add(dirname(target.startsWith("/") ? target : `${here.path.toString("latin1")}/${target}`));
      if (kind instanceof Error) passed.unreadable(nameOf(path), kind);
      else add(name, kind, here.links + 1);
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
      try {
        for (const found of await read(each)) next.push(found);
      } catch (error) {
        if (each === top)
          throw new Error(`no image can be read in ${root}: ${reasonOf(error as Error)}`, { cause: error });
        passed.unreadable(nameOf(each.path), error as Error);
      }
    });
    level = next;
  }
  await inParallel([...linkedFrom], async (path) => {
    dependencies.push(await stampOf(Buffer.from(path, "latin1")));
  });
  for (const paths of archives.values()) paths.sort();
  return { top, archives, passed, dependencies };
}

function unread(path: Buffer, parent?: Folder, links = 0): Folder {
  const nothing = { id: "", names: new Uint8Array(0), ends: new Uint32Array(0), folders: [] };
  return { path, ...(parent === undefined ? {} : { parent }), links, ...nothing };
}

/** Adds the images of a folder and those below it, in order. `prefix`: names of the folders on the way. */
export function collect({ names, ends, folders }: Folder, prefix: readonly Uint8Array[], images: IndexBuilder): void {
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

/** How many images there are in a folder and those below it. */
export function imagesBelow({ ends, folders }: Folder): number {
  return folders.reduce((sum, { folder }) => sum + imagesBelow(folder), ends.length);
}

const dot = 0x2e;
const slash = Buffer.from("/");

function below(path: Buffer, name: Buffer): Buffer {
  return Buffer.concat([path, slash, name]);
}
