/** Exports appear whole and checked, or not at all. */
import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { syncFolder } from "../../run/atomic.ts";

/** Names that an exported folder may hold: what is replaced must be an export. */
const ours: readonly string[] = ["config.json", "preprocessor_config.json", "model.safetensors", "onnx"];

/**
 * Lets `make` write a file or a folder under a temporary name beside `path`, and renames it when `make` is content. What
 * stood there is replaced only with `force`, and a folder only if it is an export. Throws one sentence otherwise, before
 * any work.
 */
export async function publish<T>(path: string, force: boolean, make: (temporary: string) => Promise<T>): Promise<T> {
  const before = statSync(path, { throwIfNoEntry: false });
  if (before !== undefined && !force)
    throw new Error(`${path} exists already; choose another --out, or replace it with --force`);
  const foreign = before?.isDirectory() === true ? readdirSync(path).find((name) => !ours.includes(name)) : undefined;
  if (foreign !== undefined)
    throw new Error(
      `${path} is a folder that is no export (it holds ${foreign}) and is not replaced; choose another --out`,
    );
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true });
  const aside = (what: string) => join(folder, `.${basename(path)}.${what}${process.pid}.tmp`);
  const [temporary, old] = [aside(""), aside("old.")];
  try {
    const made = await make(temporary);
    if (before !== undefined) renameSync(path, old);
    renameSync(temporary, path);
    syncFolder(folder);
    return made;
  } finally {
    for (const each of [temporary, old]) rmSync(each, { recursive: true, force: true });
  }
}
