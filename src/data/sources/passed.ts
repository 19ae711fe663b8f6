/** What is passed over on the way to images: counted while files are listed, and said before anything is done with them. */
import { extname } from "node:path";
import { foreignExtensions, imageExtensions, isImageName } from "../formats/image-format.ts";
import { shown } from "../../tensor/text.ts";

/** Folders that systems add, in lower case: thumbnails and dustbins of disks, network storage and archives. */
const systemFolders: ReadonlySet<string> = new Set([
  "@eadir",
  "@tmp",
  "@recycle",
  "@recently-snapshot",
  "@__thumb",
  "#recycle",
  "#snapshot",
  "$recycle.bin",
  "recycler",
  "recycled",
  "system volume information",
  "lost+found",
  "found.000",
  "__macosx",
  "network trash folder",
  "temporary items",
]);

export function isSystemFolder(name: string): boolean {
  return systemFolders.has(name.toLowerCase());
}

/** Whether a name begins with a dot; `.` and `..` in paths are no names. */
function isDotted(name: string): boolean {
  return name.startsWith(".") && name !== "." && name !== "..";
}

/** Whether a path in an archive has a part that is left out. */
export function isHidden(path: string): boolean {
  return path.split("/").some((name) => isDotted(name) || isSystemFolder(name));
}

/** Files with many images in each that a kind of source reads; `.bin` is CIFAR's. */
export const archiveExtensions = [".tar", ".zip", ".parquet", ".bin"] as const;

/** Archives that no image can be read from without unpacking them all. */
const compressedExtension = /^\.(tar\.[a-z0-9]+|tgz|tbz2?|txz|tzst|gz|bz2|xz|zst|lz4|lzma|rar|7z|cab|iso)$/;

/** Why a single file is not read. */
export function refusal(path: string): string {
  const ending = endingOf(path);
  if (compressedExtension.test(ending))
    return `${path} is compressed (${ending}), so that no image in it can be read by itself: unpack it first`;
  if (isImageName(path)) return `${path} is one image; give the folder that holds the images`;
  if (foreignExtensions.includes(ending))
    return `${path} is an image of a kind that is not read (${ending}); give a folder of ${imageExtensions.join(", ")}`;
  return `${path} is a file${ending && ` that ends in ${ending}, which is not read`}; give the folder that holds the images, a list (.txt), or .tar, .zip or .parquet files`;
}

export class Passed {
  readonly #isPacked: boolean;
  /** Files that are no images, by their endings in lower case; "" for those without one. */
  readonly endings = new Map<string, number>();
  readonly #system = new Map<string, number>();
  readonly #unreadable: string[] = [];
  readonly #runs: string[] = [];
  readonly #trailing: string[] = [];
  #dotted = 0;
  #others = 0; // whose names begin with a dot

  /** `isPacked`: the files lie in an archive. */
  constructor({ isPacked = false } = {}) {
    this.#isPacked = isPacked;
  }

  /** A file that is no image. */
  file(name: string): void {
    const ending = endingOf(name);
    this.endings.set(ending, (this.endings.get(ending) ?? 0) + 1);
  }

  /** One whose name begins with a dot. Only lost images are worth a word: not `.DS_Store` and `._1.jpg`. */
  dotted(name: string): void {
    if (isImageName(name) && !name.startsWith("._")) this.#dotted++;
    else this.#others++;
  }

  systemFolder(name: string): void {
    this.#system.set(name, (this.#system.get(name) ?? 0) + 1);
  }

  /** `path`: below what was given. */
  runFolder(path: string): void {
    this.#runs.push(path);
  }

  unreadable(path: string, reason: string | NodeJS.ErrnoException): void {
    this.#unreadable.push(`${shown(path)} (${typeof reason === "string" ? reason : reasonOf(reason)})`);
  }

  /** What follows the end of an archive. */
  trailing(what: string): void {
    this.#trailing.push(what);
  }

  /** A name in an archive that is no image's. */
  member(name: string): void {
    const parts = name.split("/");
    const system = parts.find((part) => isSystemFolder(part));
    if (system !== undefined) this.systemFolder(system);
    else if (parts.some(isDotted)) this.dotted(parts.at(-1)!);
    else this.file(parts.at(-1)!);
  }

  /** Sentences for `Source.notes`. */
  notes(): string[] {
    const notes: string[] = [];
    const foreign: string[] = [];
    const archives: string[] = [];
    const compressed: string[] = [];
    const others: string[] = [];
    for (const ending of this.endings.keys()) {
      if (foreignExtensions.includes(ending)) foreign.push(ending);
      else if (ending !== ".bin" && archiveExtensions.some((each) => each === ending)) archives.push(ending);
      else if (compressedExtension.test(ending)) compressed.push(ending);
      else others.push(ending);
    }
    if (foreign.length > 0)
      notes.push(
        `images of kinds that are not read: ${this.#counts(foreign)}; convert them to JPEG or PNG to use them`,
      );
    if (archives.length > 0)
      notes.push(
        `archives that are not read: ${this.#counts(archives)}; ${this.#isPacked ? "unpack them" : "give them by themselves"} to use what is in them`,
      );
    if (compressed.length > 0)
      notes.push(`compressed files, not read: ${this.#counts(compressed)}; unpack them to use what is in them`);
    if (others.length > 0) notes.push(`not read: ${this.#counts(others)}`);
    if (this.#trailing.length > 0) notes.push(`not read: ${few(this.#trailing)}`);
    if (this.#dotted > 0) notes.push(`left out: ${counted(this.#dotted, "image")} whose name begins with a dot`);
    if (this.#system.size > 0) {
      const each = [...this.#system]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, count]) => `${count.toLocaleString("en")} × ${shown(name)}`);
      notes.push(`left out, as systems add them: ${few(each)}`);
    }
    if (this.#runs.length > 0) notes.push(`left out, as they are run folders: ${few(this.#runs.sort().map(shown))}`);
    if (this.#unreadable.length > 0) notes.push(`left out, as they cannot be read: ${few(this.#unreadable.sort())}`);
    return notes;
  }

  /** Why there is no image: what there is instead. */
  instead(): string {
    const read = `images are files that end in ${imageExtensions.join(", ")}`;
    const notes = this.notes();
    if (notes.length === 0 && this.#others > 0) return `it has only names that begin with a dot (${read})`;
    if (notes.length === 0) return `it is empty (${read})`;
    const lists = !this.#isPacked && [".txt", ".csv", ".tsv"].some((ending) => this.endings.has(ending));
    return `${notes.join("; ")} (${read}${lists ? "; a list of images is given by its own name" : ""})`;
  }

  #counts(endings: readonly string[]): string {
    const byCount = endings
      .map((ending) => [ending, this.endings.get(ending)!] as const)
      .sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
    return few(byCount.map(([ending, count]) => `${count.toLocaleString("en")} ${ending || "without an ending"}`));
  }
}

/** In a word or two, without the path. */
export function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  if (code === "EACCES" || code === "EPERM") return "permission denied";
  if (code === "ENOENT" || code === "ELOOP") return "it leads nowhere";
  return shown(message);
}

/** In lower case, with the dot. Of a compressed file both: `.tar.gz`. Anything that is hardly one is none. */
function endingOf(name: string): string {
  const lower = name.toLowerCase();
  const ending = /\.tar\.[a-z0-9]{1,5}$/.exec(lower)?.[0] ?? extname(lower);
  return /^(\.[a-z0-9_+-]{1,12}){1,2}$/.test(ending) ? ending : "";
}

function counted(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

const mostListed = 8;

function few(texts: readonly string[]): string {
  if (texts.length <= mostListed) return texts.join(", ");
  return `${texts.slice(0, mostListed).join(", ")} and ${(texts.length - mostListed).toLocaleString("en")} more`;
}
