/** What everything about images speaks of: pixels, and lists of images. */

/** A decoded image: RGB, 8 bits a channel, interleaved, row after row. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
  /** What the file has that is not shown, where it is more than 8 bits, colours and one page. */
  readonly samples?: {
    /** A sample, as far as it matters: 8, or 16 for all that have more. */
    readonly bits: number;
    /** Bands that are neither colour nor declared transparency. */
    readonly spare: number;
    readonly pages: number;
  };
}

/** A part of an image, in pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** What is wanted of an image that is not kept after use. A source may make use of that to save time. */
export interface DecodeHint {
  /** The part of an image of width × height that is used. Other pixels may be anything. */
  region(width: number, height: number): Box;
  /** Memory where the pixels may be put; it is used again after the pixels. */
  memory(bytes: number): Uint8Array;
}

/** What a data set may say an image is for. */
export type Split = "train" | "validation" | "test";

export const splitNames = ["train", "validation", "test"] as const satisfies readonly Split[];

/** What splits are called in lists, in lower case. Images without labels are for training: only evaluations need labels. */
export const splitWords: ReadonlyMap<string | undefined, Split> = new Map(
  Object.entries({
    train: ["train", "training", "trainval", "labeled", "labelled", "unlabeled", "unlabelled", "unsup", "unsupervised"],
    validation: ["val", "valid", "validation", "dev"],
    test: ["test", "testing", "eval", "evaluation"],
  } satisfies Record<Split, readonly string[]>).flatMap(([split, words]) =>
    words.map((word) => [word, split as Split] as const),
  ),
);

/** The split that a folder or a file is called after: `seg_train`, `Testing`, `val2017`. Undefined for none or several. */
export function splitOfName(name: string): Split | undefined {
  const words = name.toLowerCase().split(/[^\p{L}]+/u);
  const found = new Set(words.flatMap((word) => splitWords.get(word) ?? []));
  return found.size === 1 ? [...found][0] : undefined;
}

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
  /** For people, a sentence each: what lies beside the images and is not read, and what was not understood. */
  readonly notes?: readonly string[];
  /** Rejects with one sentence that names the image when it cannot be read. */
  load(i: number, hint?: DecodeHint): Promise<Pixels>;
}
