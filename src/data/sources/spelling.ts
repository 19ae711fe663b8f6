/** Names that look the same: é is one sign on most systems and two on old disks of Macs. */
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

/**
 * The path as the disk spells it, where something is there that is called the same in another Unicode form; else the path.
 * `path` is absolute.
 */
export async function asSpelled(path: string): Promise<string> {
  // oxlint-disable-next-line no-control-regex
  if (/^[\0-\x7f]*$/.test(path) || (await isThere(path))) return path;
  const parts: string[] = [];
  let parent = path;
  while (!(await isThere(parent)) && parent !== dirname(parent)) {
    parts.unshift(parent.slice(dirname(parent).length).replace(/^[\\/]/, ""));
    parent = dirname(parent);
  }
  let spelled = parent;
  for (const part of parts) {
    const names = await readdir(spelled).catch(() => []);
    spelled = join(spelled, names.find((name) => name.normalize() === part.normalize()) ?? part);
  }
  return spelled;
}

export async function isThere(path: string | Buffer): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
