/** Sources: lists of images. A source is opened from a plain description, so that a worker thread can open it again. */
import * as z from "zod";
import { cifarSpec, openCifar } from "./cifar.ts";
import { describe } from "./description.ts";
import { emojiSpec, openEmoji } from "./emoji/source.ts";
import { folderSpec, openFolder } from "./folder.ts";
import { listSpec, openList } from "./list.ts";
import { openSynthetic, syntheticSpec } from "./synthetic.ts";

/** A decoded image: RGB, 8 bits a channel, interleaved, row after row. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
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
  /** Rejects with one sentence that names the image when it cannot be read. */
  load(i: number): Promise<Pixels>;
}

export const sourceSpec = z.discriminatedUnion("kind", [folderSpec, listSpec, cifarSpec, emojiSpec, syntheticSpec]);
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

/** Opens a source. Throws one sentence when the description is wrong or there are no images. */
export async function openSource(input: SourceInput): Promise<Source> {
  const spec = defineSource(input);
  const source = await open(spec);
  return describe(source, { source: spec, length: source.length });
}

async function open(spec: SourceSpec): Promise<Source> {
  if (spec.kind === "folder") return openFolder(spec);
  if (spec.kind === "list") return openList(spec);
  if (spec.kind === "cifar") return openCifar(spec);
  if (spec.kind === "emoji") return openEmoji(spec);
  return openSynthetic(spec);
}
