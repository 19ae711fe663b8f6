/** Tiny data sets in CIFAR's binary format. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { tarOf } from "./shards.ts";

export type Files = Readonly<Record<string, Uint8Array>>;

/** Image `n` of a data set: pixel p of channel c is (n + 10 c + p) mod 251. */
export const value = (n: number, c: number, p: number) => (n + 10 * c + p) % 251;

/** Records of the images `first`, `first` + 1, …, one for each of `labels`. */
function records(labels: readonly (readonly number[])[], first: number): Uint8Array {
  const planes = (n: number) => Array.from({ length: 3072 }, (_, at) => value(n, Math.floor(at / 1024), at % 1024));
  return Uint8Array.from(labels.flatMap((bytes, i) => [...bytes, ...planes(first + i)]));
}

const lines = (names: readonly string[]) => new TextEncoder().encode(`${names.join("\n")}\n\n`);

/** `count` images in each of the six batches, of the classes cat and dog by turns, numbered through. */
export function cifar10(count = 4): Files {
  const batch = (b: number) =>
    records(
      Array.from({ length: count }, (_, i) => [i % 2]),
      b * count,
    );
  return {
    "batches.meta.txt": lines(["cat", "dog"]),
    ...Object.fromEntries([0, 1, 2, 3, 4].map((b) => [`data_batch_${b + 1}.bin`, batch(b)])),
    "test_batch.bin": batch(5),
  };
}

export function cifar100(): Files {
  return {
    "coarse_label_names.txt": lines(["animal", "plant"]),
    "fine_label_names.txt": lines(["cat", "oak", "rose"]),
    "train.bin": records(
      [
        [0, 0],
        [1, 1],
        [1, 2],
      ],
      0,
    ),
    "test.bin": records([[1, 2]], 3),
  };
}

/** Writes the files as an archive, or into a folder; returns its path. */
export function writeArchive(path: string, files: Files, folder = "cifar-batches-bin/"): string {
  const named = Object.entries(files).map(([name, content]) => [`${folder}${name}`, content]);
  writeFileSync(path, gzipSync(tarOf({ [folder]: "", ...Object.fromEntries(named) })));
  return path;
}

export function writeFolder(path: string, files: Files): string {
  mkdirSync(path, { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content);
  return path;
}
