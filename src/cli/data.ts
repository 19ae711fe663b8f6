/** How a command takes images: a word or a path. */
import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { openSource, type SourceInput } from "../data/source.ts";

export const imagesHelp =
  "folder of images, .txt list of them, CIFAR's binary archive or its folder, or the word emoji";

/**
 * The source that `images` means, for training: `emoji`, CIFAR (a `.tar.gz` or a folder with `.bin` files), a list (a
 * `.txt`) or a folder of images. Of one with splits it is the training split; an evaluation finds the others by itself.
 */
export async function sourceAt(images: string): Promise<SourceInput> {
  if (images === "emoji") return { kind: "emoji", split: "train" };
  const path = resolve(images);
  if (/\.(tar\.gz|tgz)$/.test(images)) return { kind: "cifar", path };
  if (images.endsWith(".txt")) return { kind: "list", path };
  const names = await readdir(path).catch(() => []); // a wrong path is told below
  if (names.some((name) => name.endsWith(".bin"))) return { kind: "cifar", path };
  const { split } = await openSource({ kind: "folder", path });
  return split === undefined ? { kind: "folder", path } : { kind: "folder", path, split: "train" };
}
