/** Sources: lists of images. A source is opened from a plain description, so that a worker thread can open it again. */
import * as z from "zod";
import { cifarSpec, openCifar } from "./cifar.ts";
import { describe } from "./description.ts";
import { emojiSpec, openEmoji } from "./emoji/source.ts";
import { folder, folderSpec } from "./folder.ts";
import { glob, globSpec } from "./glob.ts";
import type { BoundKind, ImageIndex, IndexedKind } from "./image-index.ts";
import { cachedIndex } from "./index-cache.ts";
import { list, listSpec } from "./list.ts";
import { parquet, parquetSpec } from "./parquet.ts";
import { openSynthetic, syntheticSpec } from "./synthetic.ts";
import { tar, tarSpec } from "./tar.ts";
import { zip, zipSpec } from "./zip.ts";

import type { Source } from "../source.ts";

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
  const found = index ?? (await cachedIndex(kind));
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
  return hasIndex(spec) ? cachedIndex(indexedKind(spec)) : undefined;
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
