/** The user's cache folder: what can be made again, and need not be made again every time. */
import { mkdir, open, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";

/**
 * `LAYERGRAFT_CACHE`, else `layergraft` in `XDG_CACHE_HOME` or where the system has caches. Undefined when
 * `LAYERGRAFT_CACHE` is `off`: then nothing is kept.
 */
export function cacheFolder(): string | undefined {
  const { LAYERGRAFT_CACHE: own, XDG_CACHE_HOME: xdg, LOCALAPPDATA: local } = process.env;
  if (own === "off") return undefined;
  if (own) return resolve(own);
  if (xdg) return join(xdg, "layergraft");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches", "layergraft");
  if (process.platform === "win32" && local) return join(local, "layergraft", "cache");
  return join(homedir(), ".cache", "layergraft");
}

/** Writes a file whole or not at all, with the folders above it. False when that is not possible. */
export async function writeCached(file: string, pieces: readonly Uint8Array[]): Promise<boolean> {
  const temporary = `${file}.${process.pid}.${Math.trunc(performance.now() * 1000)}.tmp`;
  try {
    await mkdir(dirname(file), { recursive: true });
    const handle = await open(temporary, "wx");
    try {
      for (const piece of pieces) await handle.writeFile(piece);
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
    return true;
  } catch {
    await rm(temporary, { force: true }).catch(() => undefined);
    return false;
  }
}
