/** Files that appear whole or not at all, whatever kills the process. */
import { closeSync, fsyncSync, openSync, readdirSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { codeOf, messageOf } from "./errors.ts";
import { startOf } from "./process.ts";

/**
 * Writes a file atomically: a temporary file in the same folder, fsync, rename, fsync of the folder.
 * Chunks are written one after the other and never joined, so a file may be larger than memory's largest buffer.
 * Synchronous on purpose: the training state cannot change while it is being written.
 */
export function writeFileAtomic(path: string, content: Content): void {
  const file = createFileAtomic(path);
  file.write(content);
  file.commit();
}

type Content = string | Uint8Array | Iterable<Uint8Array>;

/** A file that grows under a temporary name and takes its own when it is whole. */
export interface AtomicFile {
  write(content: Content): void;
  /** Writes over what is there already, such as a header that holds a count. */
  overwrite(bytes: Uint8Array, position: number): void;
  /** fsync, rename, fsync of the folder. */
  commit(): void;
  /** Removes the temporary file. Does nothing after `commit`. */
  discard(): void;
}

/** The same for a file that is made over a longer time. What fails throws one sentence and leaves nothing behind. */
export function createFileAtomic(path: string): AtomicFile {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  let file: number | undefined;
  const close = () => {
    if (file !== undefined) closeSync(file);
    file = undefined;
  };
  const guarded = (work: (file: number) => void) => {
    try {
      file ??= openSync(temporary, "w");
      work(file);
    } catch (error) {
      close();
      rmSync(temporary, { force: true });
      throw notWritten(path, error, "; the file that was there before, if any, is unchanged");
    }
  };
  guarded(() => undefined);
  return {
    write: (content) =>
      guarded((file) => {
        for (const chunk of chunksOf(content)) writeAll(file, chunk);
      }),
    overwrite: (bytes, position) => guarded((file) => writeAll(file, bytes, position)),
    commit() {
      guarded((file) => {
        fsyncSync(file);
        close();
        renameSync(temporary, path);
      });
      syncFolder(dirname(path));
    },
    discard() {
      if (file === undefined) return;
      close();
      rmSync(temporary, { force: true });
    },
  };
}

/**
 * Removes the temporary files in `folder` (or only those of the file `name`) whose writer is no longer alive, and returns
 * their names. Files of other living processes stay: a report may open a run while it trains. Our own are leftovers of a
 * killed process that had our id, as happens in containers, because this process writes synchronously.
 */
export function removeLeftovers(folder: string, name?: string): string[] {
  const leftovers = readdirSync(folder).filter((each) => {
    const [, target, writer] = /^\.(.+)\.(\d+)\.tmp$/.exec(each) ?? [];
    if (writer === undefined || (name !== undefined && target !== name)) return false;
    return Number(writer) === process.pid || startOf(Number(writer)) === undefined;
  });
  for (const name of leftovers) rmSync(join(folder, name), { force: true });
  return leftovers;
}

/** Makes a rename or removal in `folder` survive a power cut. Windows cannot open a folder, and needs no such call. */
export function syncFolder(folder: string): void {
  if (process.platform === "win32") return;
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** What `work` gives, which writes to the file at `path`. Throws one sentence that names the file when it cannot. */
export function writing<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw notWritten(path, error, "");
  }
}

function notWritten(path: string, error: unknown, more: string): Error {
  const reason = reasons.get(codeOf(error)) ?? messageOf(error);
  return new Error(`${path} could not be written (${reason})${more}`, { cause: error });
}

/** What a reader can do something about. */
const reasons: ReadonlyMap<string | undefined, string> = new Map([
  ["ENOSPC", "the disk is full: make room and try again"],
  ["EDQUOT", "your share of the disk is used up: make room and try again"],
  ["EROFS", "the disk can only be read"],
  ["EFBIG", "the file system takes no file of this size"],
]);

/**
 * Writes all bytes at the file's end, or from `position` on. One system call takes at most 2 GiB, and may take less than
 * it was given.
 */
export function writeAll(file: number, bytes: Uint8Array, position?: number): void {
  for (let at = 0; at < bytes.length;) {
    const length = Math.min(bytes.length - at, 2 ** 26);
    at += writeSync(file, bytes, at, length, position === undefined ? null : position + at);
  }
}

function chunksOf(content: Content): Iterable<Uint8Array> {
  if (typeof content === "string") return [new TextEncoder().encode(content)];
  return content instanceof Uint8Array ? [content] : content;
}
