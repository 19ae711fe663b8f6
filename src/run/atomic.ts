/** Files that appear whole or not at all, whatever kills the process. */
import { closeSync, fsyncSync, openSync, readdirSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { codeOf, messageOf } from "./errors.ts";

/**
 * Writes a file atomically: a temporary file in the same folder, fsync, rename, fsync of the folder.
 * `pieces` are written one after the other and never joined, so a file may be larger than memory's largest buffer.
 * Synchronous on purpose: the training state cannot change while it is being written.
 */
export function writeFileAtomic(path: string, pieces: string | Uint8Array | Iterable<Uint8Array>): void {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  try {
    const file = openSync(temporary, "w");
    try {
      for (const piece of toPieces(pieces)) writeAll(file, piece);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    const reason = codeOf(error) === "ENOSPC" ? "the disk is full" : messageOf(error);
    throw new Error(`${path} could not be written (${reason}); the file that was there before, if any, is unchanged`, {
      cause: error,
    });
  }
  syncFolder(dirname(path));
}

/**
 * Removes the temporary files in `folder` whose writer is no longer alive, and returns their names.
 * Files of other living processes stay: a report may open a run while it trains. Our own are leftovers of a killed
 * process that had our id, as happens in containers, because this process writes synchronously.
 */
export function removeLeftovers(folder: string): string[] {
  const leftovers = readdirSync(folder).filter((name) => {
    const writer = /^\..+\.(\d+)\.tmp$/.exec(name)?.[1];
    return writer !== undefined && (Number(writer) === process.pid || !isAlive(Number(writer)));
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

/** Writes all bytes at the file's position. One system call takes at most 2 GiB, and may take less than it was given. */
function writeAll(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at, Math.min(bytes.length - at, 2 ** 26));
}

function toPieces(content: string | Uint8Array | Iterable<Uint8Array>): Iterable<Uint8Array> {
  if (typeof content === "string") return [new TextEncoder().encode(content)];
  return content instanceof Uint8Array ? [content] : content;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: the process exists and belongs to somebody else.
    return codeOf(error) === "EPERM";
  }
}
