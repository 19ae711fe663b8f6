/** Sources: lists of images. A source is opened from a plain description, so that a worker thread can open it again. */
import * as z from "zod";
import type { Source } from "../source.ts";
import { describe } from "./description.ts";
import type { ImageIndex } from "./image-index.ts";
import { cachedIndex, type Indexable } from "./index-cache.ts";
import type { SourceKind } from "./kind.ts";
import { kinds } from "./kinds.ts";

type Schemas<Kinds extends readonly { readonly schema: unknown }[]> = { [I in keyof Kinds]: Kinds[I]["schema"] };
const schemas: readonly unknown[] = kinds.map(({ schema }) => schema);

export const sourceSpec = z.discriminatedUnion("kind", schemas as Schemas<typeof kinds>);
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

/** A kind, for those who know it only by a description of that kind. */
export type KindOf = SourceKind<z.ZodType<SourceSpec, SourceInput>>;

/** The kind of a source; its members take this description, or another of the same kind. */
export function kindOf({ kind }: Pick<SourceInput, "kind">): KindOf {
  const found = kinds.find(({ schema }) => schema.shape.kind.value === kind);
  if (found !== undefined) return found;
  const names = kinds.map(({ schema }) => schema.shape.kind.value);
  throw new Error(`there is no kind of source ${kind}; available: ${names.join(", ")}`);
}

/** Whether sources of this kind have an option of that name. */
export function hasOption({ kind }: Pick<SourceInput, "kind">, name: string): boolean {
  return Object.hasOwn(kinds.find(({ schema }) => schema.shape.kind.value === kind)?.schema.shape ?? {}, name);
}

/**
 * Opens a source. With the `index` of its images (see `indexOf`) no file is looked at; without, those kinds that have one
 * find or build it. Throws one sentence when the description is wrong or there are no images.
 */
export async function openSource(input: SourceInput, index?: ImageIndex): Promise<Source> {
  const spec = defineSource(input);
  const kind = kindOf(spec);
  if (!("build" in kind)) {
    const source = await kind.open(spec);
    return describe(source, { source: spec, length: source.length });
  }
  const found = index ?? (await cachedIndex(indexable(kind, spec)));
  const source = kind.open(spec, found);
  return describe(source, { source: spec, index: found, length: source.length });
}

/** The index of a source's images, for threads that open the source as well; undefined for a kind that has none. */
export async function indexOf(input: SourceInput): Promise<ImageIndex | undefined> {
  const spec = defineSource(input);
  const kind = kindOf(spec);
  return "build" in kind ? cachedIndex(indexable(kind, spec)) : undefined;
}

function indexable(kind: Extract<KindOf, { build: unknown }>, spec: SourceSpec): Indexable {
  return { key: [spec.kind, ...kind.key(spec)], build: () => kind.build(spec) };
}
