/** All kinds of sources, and which of them is meant. */
import { cifar } from "./cifar.ts";
import { emoji } from "./emoji/emoji.ts";
import { folder } from "./folder.ts";
import { glob } from "./glob.ts";
import { clues, type Given } from "./kind.ts";
import { list } from "./list.ts";
import { parquet } from "./parquet.ts";
import { synthetic } from "./synthetic.ts";
import { tar } from "./tar.ts";
import { zip } from "./zip.ts";

export const kinds = [folder, list, glob, tar, zip, parquet, cifar, emoji, synthetic] as const;

/** The source that was given, for training if it says so itself. */
export function recognise(given: Given) {
  const found = kinds.flatMap((kind) => kind.argument?.recognise(given) ?? []);
  found.sort((a, b) => clues.indexOf(a.clue) - clues.indexOf(b.clue)); // stable
  return found[0]!.spec; // a folder is always found
}
