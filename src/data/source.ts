/** Sources: lists of images. A source is opened from a plain description, so that a worker thread can open it again. */
import * as z from "zod";
import { cifarSpec, openCifar } from "./cifar.ts";
import { describe } from "./description.ts";
import { emojiSpec, openEmoji } from "./emoji/source.ts";
import { folder, folderSpec } from "./folder.ts";
import { glob, globSpec } from "./glob.ts";
import type { BoundKind, ImageIndex, IndexedKind } from "./image-index.ts";
import { keptIndex } from "./kept-index.ts";
import { list, listSpec } from "./list.ts";
import { parquet, parquetSpec } from "./parquet.ts";
import type { Box } from "./plan.ts";
import { openSynthetic, syntheticSpec } from "./synthetic.ts";
import { tar, tarSpec } from "./tar.ts";
import { zip, zipSpec } from "./zip.ts";

/** A decoded image: RGB, 8 bits a channel, interleaved, row after row. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** How somebody looks at an image who does not keep it. A source may make use of that to save time. */
export interface Glance {
  /** The part of an image of width × height that is looked at. Other pixels may be anything. */
  part(width: number, height: number): Box;
  /** Memory where the pixels may be put; it is used again when they have been looked at. */
  memory(bytes: number): Uint8Array;
}

/** What a data set may say an image is for. */
export type Split = "train" | "validation" | "test";

/** A list of images, with a class each when `classes` is not empty. */
export interface Source {
  /** For reports: `emoji`, or the folder's path. */
  readonly name: string;
  readonly length: number;
  readonly classes: readonly string[];
  /** What image `i` is called in messages and reports: its path below the folder, or `twemoji/1f600 grinning face`. */
  id(i: number): string;
  /** Index into `classes`, or -1 in a source without classes. */
  label(i: number): number;
  /** What image `i` is for, in a source that says so. */
  split?(i: number): Split;
  /**
   * Where ranges of images begin that are cheap to read together, such as the row groups of a Parquet file; ascending,
   * the first is 0. An epoch takes a few of them at a time; see `epochOrder`.
   */
  readonly blocks?: ArrayLike<number>;
  /** How many images may be mixed so that their blocks still fit into what the source keeps. */
  readonly window?: number;
  /** Rejects with one sentence that names the image when it cannot be read. */
  load(i: number, glance?: Glance): Promise<Pixels>;
}

export const sourceSpec = z.discriminatedUnion("kind", [
  folderSpec,
  listSpec,
  globSpec,
  tarSpec,
  zipSpec,
  parquetSpec,
  cifarSpec,
  emojiSpec,
  syntheticSpec,
]);
export type SourceSpec = z.infer<typeof sourceSpec>;
/** A source as written down: whatever has a default may be left out. */
export type SourceInput = z.input<typeof sourceSpec>;

/** A checked description with all defaults filled in. Throws one sentence when it is wrong. */
export function defineSource(input: SourceInput): SourceSpec {
  const checked = sourceSpec.safeParse(input);
  if (!checked.success)
    throw new Error(`this is not a data source: ${z.prettifyError(checked.error).replaceAll(/\s*\n\s*/g, " ")}`);
  return checked.data;
}

/**
 * Opens a source. With the `index` of its images (see `indexOf`) no file is looked at; without, those kinds that have one
 * find or build it. Throws one sentence when the description is wrong or there are no images.
 */
export async function openSource(input: SourceInput, index?: ImageIndex): Promise<Source> {
  const spec = defineSource(input);
  if (!hasIndex(spec)) {
    const source = await openDirectly(spec);
    return describe(source, { source: spec, length: source.length });
  }
  const kind = indexedKind(spec);
  const found = index ?? (await keptIndex(kind));
  const source = kind.open(found);
  return describe(source, { source: spec, index: found, length: source.length });
}

async function openDirectly(spec: Exclude<SourceSpec, IndexedSpec>): Promise<Source> {
  if (spec.kind === "cifar") return openCifar(spec);
  return spec.kind === "emoji" ? openEmoji(spec) : openSynthetic(spec);
}

/** The index of a source's images, for threads that open the source as well; undefined for a kind that has none. */
export async function indexOf(input: SourceInput): Promise<ImageIndex | undefined> {
  const spec = defineSource(input);
  return hasIndex(spec) ? keptIndex(indexedKind(spec)) : undefined;
}

type IndexedSpec = Exclude<SourceSpec, { kind: "cifar" | "emoji" | "synthetic" }>;

function hasIndex(spec: SourceSpec): spec is IndexedSpec {
  return !["cifar", "emoji", "synthetic"].includes(spec.kind);
}

function indexedKind(spec: IndexedSpec): BoundKind {
  if (spec.kind === "folder") return bind(folder, spec);
  if (spec.kind === "list") return bind(list, spec);
  if (spec.kind === "tar") return bind(tar, spec);
  if (spec.kind === "zip") return bind(zip, spec);
  if (spec.kind === "parquet") return bind(parquet, spec);
  return bind(glob, spec);
}

function bind<S extends SourceSpec>(kind: IndexedKind<S>, spec: S): BoundKind {
  return {
    key: [spec.kind, ...kind.key(spec)],
    build: () => kind.build(spec),
    open: (index) => kind.open(spec, index),
  };
}
