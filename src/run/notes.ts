/** notes.json: facts for the reader of a run, images that could not be read, and warnings such as a collapse. */
import { join } from "node:path";
import { z } from "zod";
import { readJson, writeJson } from "./json.ts";

export const notesSchema = z.object({
  /** Shown in this order under the report's title: images, model, parameters … */
  facts: z.array(z.object({ name: z.string(), value: z.string() })).default([]),
  skipped: z.array(z.object({ path: z.string(), reason: z.string() })).default([]),
  warnings: z.array(z.string()).default([]),
});
export type Notes = z.infer<typeof notesSchema>;

export function readNotes(dir: string): Notes {
  return readJson(join(dir, fileName), notesSchema) ?? { facts: [], skipped: [], warnings: [] };
}

/** Adds to the notes. A fact replaces the one of the same name; what is already noted is not noted twice. */
export function addNotes(dir: string, added: Partial<Notes>): void {
  const notes = readNotes(dir);
  writeJson(join(dir, fileName), {
    facts: unique([...notes.facts, ...(added.facts ?? [])], ({ name }) => name),
    skipped: unique([...notes.skipped, ...(added.skipped ?? [])], ({ path }) => path),
    warnings: unique([...notes.warnings, ...(added.warnings ?? [])], (text) => text),
  });
}

const fileName = "notes.json";

/** The last item of each key, at the place where the key first stood. */
function unique<T>(items: readonly T[], keyOf: (item: T) => string): T[] {
  return [...new Map(items.map((item) => [keyOf(item), item])).values()];
}
