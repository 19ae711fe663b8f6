/** JSON files of a run folder: written atomically, checked when read. */
import { readFileSync } from "node:fs";
import type { ZodType } from "zod";
import { printable } from "../tensor/text.ts";
import { writeFileAtomic } from "./atomic.ts";
import { codeOf, messageOf } from "./errors.ts";

export function writeJson(path: string, value: unknown): void {
  writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** The checked content of a JSON file; undefined when there is no such file. Throws one sentence that names the file. */
export function readJson<T>(path: string, schema: ZodType<T>): T | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${path} is not JSON (${printable(messageOf(error))}); restore the file or remove it`, {
      cause: error,
    });
  }
  const checked = schema.safeParse(value);
  if (checked.success) return checked.data;
  const issue = checked.error.issues[0]!;
  const where = issue.path.length === 0 ? "" : ` at ${issue.path.join(".")}`;
  throw new Error(`${path} is not as expected${where}: ${issue.message}; correct the file or remove it`);
}
