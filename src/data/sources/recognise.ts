/** What somebody means by a word, a path or a pattern of paths. */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { expand, isPattern } from "./glob.ts";
import { clues, type Given } from "./kind.ts";
import { kinds } from "./kinds.ts";
import { indexOf, type SourceInput } from "./open.ts";
import { Passed } from "./passed.ts";
import { asSpelled } from "./spelling.ts";
import { walk } from "./walk.ts";

/** So few images beside archives may be a logo or examples. */
const fewImages = 100;
/** Archives with so many times as many images are what is meant. */
const fewTimes = 5;

/**
 * The source that was given, for training if it says so itself. Images win over archives, unless they are few and the
 * archives have more than five times as many. Of archives of several kinds those with the most images are meant.
 */
export async function recognise(text: string): Promise<SourceInput> {
  if (text.trim() === "") throw new Error("no images are named: give a folder, a list, an archive or a pattern");
  const path = await asSpelled(resolve(text));
  const given = await lookedThrough({ text, path, isPattern: isPattern(path) });
  const found = candidates(given);
  const [{ clue, spec }] = found as [(typeof found)[number]];
  const archives = found.filter((each) => each.clue === "archives");
  const mayBeBeside = (clue === "images" || clue === "pattern") && given.images <= fewImages;
  const isOpen = clue === "archives" ? archives.length > 1 : mayBeBeside && archives.length > 0;
  if (!isOpen) return spec;
  const counts: { spec: SourceInput; images: number }[] = [];
  for (const each of archives) {
    const index = await indexOf(each.spec).catch(() => undefined); // what is damaged or has no images wins nothing
    counts.push({ spec: each.spec, images: index?.length ?? 0 });
  }
  const [most] = counts.toSorted((a, b) => b.images - a.images); // stable
  return most !== undefined && most.images > fewTimes * given.images ? most.spec : spec;
}

/** What kinds take it for, the surest first. A folder or a pattern is always found. */
export function candidates(given: Given) {
  const found = kinds.flatMap((kind) => kind.argument?.recognise(given) ?? []);
  return found.sort((a, b) => clues.indexOf(a.clue) - clues.indexOf(b.clue)); // stable
}

async function lookedThrough(given: Pick<Given, "text" | "path" | "isPattern">): Promise<Given> {
  const { path } = given;
  const nothing = { images: 0, passed: new Map<string, number>(), archives: new Map<string, string[]>() };
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true;
  if (!isFolder && !given.isPattern) return { ...given, ...nothing }; // a wrong path is told when it is opened
  const index = await indexOf({ kind: isFolder ? "folder" : "glob", path }).catch(() => undefined);
  if (index !== undefined) return { ...given, ...nothing, images: index.length, passed: index.passed };
  if (isFolder) {
    const { archives, passed } = await walk(path);
    return { ...given, ...nothing, archives, passed: passed.endings };
  }
  const passed = new Passed();
  for (const each of (await expand(path)).paths) passed.file(each);
  return { ...given, ...nothing, passed: passed.endings };
}
