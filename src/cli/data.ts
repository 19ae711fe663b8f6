/** How a command takes images: a word, a path or a pattern of paths. */
import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { isPattern } from "../data/sources/glob.ts";
import { kinds, recognise } from "../data/sources/kinds.ts";
import { kindOf, openSource, type SourceInput } from "../data/sources/open.ts";

const helps = kinds.flatMap(({ argument }) => (argument === undefined ? [] : [argument.help]));

export const imagesHelp =
  `${helps.slice(0, -1).join(", ")}, or ${helps.at(-1)}; ` +
  "of files with many images one, a folder of them or a pattern";

/**
 * The source that `images` means, for training. Of one with splits it is the training split; an evaluation finds the
 * others by itself.
 */
export async function sourceAt(images: string): Promise<SourceInput> {
  const path = resolve(images);
  const entries = await readdir(path).catch(() => []); // a wrong path is told when it is opened
  const spec = recognise({ text: images, path, isPattern: await isPattern(images), entries });
  const { splits } = kindOf(spec);
  if (splits?.training === undefined) return spec;
  const { split } = await openSource(spec);
  return split === undefined ? spec : splits.training(spec);
}
