/**
 * CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) in their binary version: the archive as it is downloaded, or the folder of
 * `.bin` files in it. https://www.cs.toronto.edu/~kriz/cifar.html describes the format.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { gunzip, type ZlibOptions } from "node:zlib";
import * as z from "zod";
import type { DirectKind } from "./kind.ts";
import { inMemory } from "../formats/positioned.ts";
import type { Source, Split } from "../source.ts";
import { refusal } from "./passed.ts";
import { members } from "../formats/tar-members.ts";

const schema = z.strictObject({
  kind: z.literal("cifar"),
  path: z.string().min(1).describe("cifar-10-binary.tar.gz, cifar-100-binary.tar.gz, or a folder with their files"),
  split: z
    .enum(["train", "test", "all"])
    .default("train")
    .describe("an evaluation always learns on train and tests on test"),
  label: z.enum(["fine", "coarse"]).default("fine").describe("of CIFAR-100: its 100 classes or 20 superclasses"),
});

const side = 32;
const pixels = side * side;

/** Images in the files' order, train before test, held in memory. */
export const cifar: DirectKind<typeof schema> = {
  schema,
  argument: {
    help: "CIFAR's binary archive or its folder",
    recognise({ text, path, isPattern, archives }) {
      if (/\.(tar\.gz|tgz)$/i.test(text) && !isPattern) return { clue: "file name", spec: { kind: "cifar", path } };
      const own = archives.get(".bin")?.find((file) => known.has(basename(file)));
      return own === undefined ? undefined : { clue: "own files", spec: { kind: "cifar", path: dirname(own) } };
    },
  },
  splits: { all: (spec) => ({ ...spec, split: "all" }) },
  imageSize: () => side,
  open,
};

/** A version of the data set. A record is its label bytes and the image: a red, a green and a blue plane. */
interface Version {
  readonly name: string;
  readonly files: Readonly<Record<"train" | "test", readonly string[]>>;
  /** File with the classes' names, one a line, and place of the label in a record. */
  readonly labels: Readonly<Record<string, { readonly names: string; readonly byte: number }>>;
  readonly labelBytes: number;
}

const cifar10: Version = {
  name: "CIFAR-10",
  files: { train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`), test: ["test_batch.bin"] },
  labels: { fine: { names: "batches.meta.txt", byte: 0 } },
  labelBytes: 1,
};
const cifar100: Version = {
  name: "CIFAR-100",
  files: { train: ["train.bin"], test: ["test.bin"] },
  labels: { coarse: { names: "coarse_label_names.txt", byte: 0 }, fine: { names: "fine_label_names.txt", byte: 1 } },
  labelBytes: 2,
};

const known = new Set(
  [cifar10, cifar100].flatMap(({ files: { train, test }, labels }) => [
    ...train,
    ...test,
    ...Object.values(labels).map(({ names }) => names),
  ]),
);

/** Throws when a file is missing or has another size. */
async function open({ path, split, label }: z.infer<typeof schema>): Promise<Source> {
  const files = await readFiles(path);
  const version = [cifar10, cifar100].find(({ files: { train, test } }) =>
    [...train, ...test].some((name) => files.has(name)),
  );
  if (version === undefined) {
    const isMeant = /cifar/i.test(basename(path)) || !/\.(gz|tgz)$/i.test(path);
    throw new Error(
      isMeant
        ? `${path} is not CIFAR's binary version: it has neither data_batch_1.bin nor train.bin`
        : `${refusal(path)}, and give the folder`,
    );
  }
  const file = (name: string) => {
    const found = files.get(name);
    if (found === undefined) throw new Error(`${path} is not all of ${version.name}: it has no ${name}`);
    return found;
  };
  const labels = version.labels[label];
  if (labels === undefined) throw new Error(`${version.name} has no ${label} labels, only fine ones`);
  const { names, byte } = labels;
  const classes = new TextDecoder()
    .decode(file(names))
    .split(/\r?\n/)
    .filter((line) => line !== "");

  const size = version.labelBytes + 3 * pixels;
  const records: { split: Split; number: number; record: Uint8Array }[] = [];
  for (const part of ["train", "test"] as const) {
    if (split !== "all" && split !== part) continue;
    let number = 0;
    for (const name of version.files[part]) {
      const data = file(name);
      if (data.length % size !== 0)
        throw new Error(`${name} in ${path} is damaged: ${data.length} bytes are no whole number of ${size}`);
      for (let at = 0; at < data.length; at += size) {
        const record = data.subarray(at, at + size);
        if (record[byte]! >= classes.length)
          throw new Error(`${name} in ${path} is damaged: label ${record[byte]} of ${classes.length} classes`);
        records.push({ split: part, number: number++, record });
      }
    }
  }
  const labelOf = (i: number) => records[i]!.record[byte]!;
  return {
    name: version.name,
    length: records.length,
    classes,
    id: (i) => `${records[i]!.split}/${classes[labelOf(i)]}/${records[i]!.number}`,
    label: labelOf,
    split: (i) => records[i]!.split,
    async load(i) {
      const planes = records[i]!.record.subarray(version.labelBytes);
      const data = new Uint8Array(3 * pixels);
      for (let p = 0; p < pixels; p++) for (let c = 0; c < 3; c++) data[3 * p + c] = planes[c * pixels + p]!;
      return { width: side, height: side, data };
    },
  };
}

/** Name without folders → content. */
async function readFiles(path: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw new Error(`there is no file or folder ${path}`);
  if (!found.isDirectory()) return untar(path, await unzip(path));
  const names = (await readdir(path)).filter((name) => known.has(name));
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(path, name))] as const)));
}

/** The archives have less than 200 MB unpacked; another one is not worth the memory. */
const mostBytes = 2 ** 28;

async function unzip(path: string): Promise<Uint8Array> {
  try {
    if ((await stat(path)).size > mostBytes) throw new RangeError("it is too large");
    return await promisify<Uint8Array, ZlibOptions, Buffer>(gunzip)(await readFile(path), {
      maxOutputLength: mostBytes,
    });
  } catch (error) {
    if (error instanceof RangeError) throw new Error(`${refusal(path)}, and give the folder`, { cause: error });
    throw new Error(`${path} cannot be unpacked (${(error as Error).message}); download it again`, { cause: error });
  }
}

/** The plain files of a tar archive. */
async function untar(name: string, archive: Uint8Array): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for await (const member of members(inMemory(name, archive)))
    files.set(basename(member.name), archive.subarray(member.offset, member.offset + member.size));
  return files;
}
