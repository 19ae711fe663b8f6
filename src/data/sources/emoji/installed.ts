/** The packages that hold the drawings and the Unicode table. They are optional: who has own images needs none. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

/** The five styles: each is the npm package `@iconify-json/<style>`. */
export const styles = ["twemoji", "noto", "openmoji", "fluent-emoji-flat", "emojione"] as const;
export type Style = (typeof styles)[number];

/**
 * Reads a JSON file of an installed package, such as `@iconify-json/noto/chars.json`: one that layergraft can see, or
 * the working directory. Throws one sentence with the command to run when the package is missing.
 */
export async function readInstalled(path: string): Promise<unknown> {
  for (const start of [import.meta.url, join(process.cwd(), "package.json")]) {
    try {
      return JSON.parse(await readFile(createRequire(start).resolve(path), "utf8")) as unknown;
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  const all = [...styles.map((style) => `@iconify-json/${style}`), "emojibase-data"];
  const name = path.split("/", path.startsWith("@") ? 2 : 1).join("/");
  throw new Error(`the emoji drawings need the package ${name}, which is not installed: npm install ${all.join(" ")}`);
}

export async function versionOf(packageName: string): Promise<string> {
  return ((await readInstalled(`${packageName}/package.json`)) as { version: string }).version;
}

function isMissing(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "MODULE_NOT_FOUND" || code === "ENOENT" || code === "ERR_PACKAGE_PATH_NOT_EXPORTED";
}
