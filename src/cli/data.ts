/** How a command takes images: a word, a path or a pattern of paths. */
import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { isPattern } from "../data/sources/glob.ts";
import { openSource, type SourceInput } from "../data/sources/open.ts";

export const imagesHelp =
  "folder of images, 'pattern/**/*.jpg', .txt list, .tar, .zip or .parquet files (one, a folder or a pattern), " +
  "CIFAR's binary archive or its folder, or the word emoji";

/** Endings of files with many images in each. */
const archives = [
  ["tar", ".tar"],
  ["zip", ".zip"],
  ["parquet", ".parquet"],
] as const;

/**
 * The source that `images` means, for training: `emoji`, CIFAR (a `.tar.gz` or a folder with `.bin` files), an archive, a
 * folder or a pattern of them, a pattern of images, a list (a `.txt`) or a folder of images. Of one with splits it is the
 * training split; an evaluation finds the others by itself.
 */
export async function sourceAt(images: string): Promise<SourceInput> {
  if (images === "emoji") return { kind: "emoji", split: "train" };
  const path = resolve(images);
  for (const [kind, ending] of archives) if (images.endsWith(ending)) return trainingSplit({ kind, path });
  if (await isPattern(images)) return trainingSplit({ kind: "glob", path });
  if (/\.(tar\.gz|tgz)$/.test(images)) return { kind: "cifar", path };
  if (images.endsWith(".txt")) return trainingSplit({ kind: "list", path });
  const names = await readdir(path).catch(() => []); // a wrong path is told below
  if (names.some((name) => name.endsWith(".bin"))) return { kind: "cifar", path };
  for (const [kind, ending] of archives)
    if (names.some((name) => name.endsWith(ending))) return trainingSplit({ kind, path });
  return trainingSplit({ kind: "folder", path });
}

async function trainingSplit(
  input: Exclude<SourceInput, { kind: "cifar" | "emoji" | "synthetic" }>,
): Promise<SourceInput> {
  const { split } = await openSource(input);
  return split === undefined ? input : { ...input, split: "train" };
}
