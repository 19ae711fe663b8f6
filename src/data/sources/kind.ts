/**
 * The contract of a kind of source. A kind is one file here, which exports one `SourceKind` value with all that anybody
 * knows of it, and a line in `kinds.ts`. `schema` and `open` are enough (see `synthetic.ts`); a member that is left out
 * says that the kind has nothing of the sort.
 */
import type * as z from "zod";
import type { Questions } from "../question.ts";
import type { Source } from "../source.ts";
import type { ImageIndex } from "./image-index.ts";

/** The options of a kind: a strict object whose `kind` is a literal. */
export type SourceSchema = z.ZodType<{ readonly kind: string }, { readonly kind: string }>;

/** Described by `schema`, opened directly or with an index. */
export type SourceKind<Schema extends SourceSchema> = DirectKind<Schema> | IndexedKind<Schema>;

interface Common<Schema extends SourceSchema, Spec = z.infer<Schema>, Input = z.input<Schema>> {
  /** A description of images. Below, `Spec` is one with all defaults filled in, `Input` one as it is written down. */
  readonly schema: Schema;
  /** The images as an argument of the command line. Without it, only recipes and the library name them. */
  readonly argument?: {
    /** For the help: `folder of images`. */
    readonly help: string;
    recognise(given: Given): { readonly clue: Clue; readonly spec: Input } | undefined;
  };
  /** The images may be in splits, and one of them be asked for. */
  readonly splits?: {
    /** The same images and those of the other splits. */
    all(spec: Spec): Spec;
    /** Of a recognised source that turned out to be in splits, what to train on. Default: as it was recognised. */
    training?(input: Input): Input;
  };
  /**
   * The images are files of any size, and are reduced while they are decoded: to this shorter side, in pixels, unless the
   * description says another. Recipes ask for it, since photos are much larger than what a model sees.
   */
  reduced?(input: Input, shortSide: number): Input;
  /** Side of all decoded images, in pixels. Default: they may have any size. */
  imageSize?(spec: Spec): number;
  /** The folder that the images are in, after which a run is named. Default: what was given for the images. */
  folder?(spec: Spec): string;
  /** Questions of its own, which use all images and take no limit. Default: the class of an image, where there are any. */
  questions?(spec: Spec): Promise<Questions>;
  /** The images that an analysis shows. Default: those that the questions show. */
  analysed?(spec: Spec): Spec;
}

/** A kind that is opened in little time, in every thread. Opening twice gives the same images in the same order. */
export interface DirectKind<Schema extends SourceSchema> extends Common<Schema> {
  /** Throws one sentence when there is nothing there, or not what the description asks for. */
  open(spec: z.infer<Schema>): Source | Promise<Source>;
}

/**
 * A kind with an index of its images. Building may take long and happens in the main thread, at most once as long as the
 * files do not change; opening reads no file, and happens in every thread.
 */
export interface IndexedKind<Schema extends SourceSchema> extends Common<Schema> {
  /** The absolute path and whatever else of the description the index depends on. */
  key(spec: z.infer<Schema>): readonly (string | undefined)[];
  /** Throws one sentence when there is nothing there, or no image in it. */
  build(spec: z.infer<Schema>): Promise<ImageIndex>;
  /** Throws one sentence when the description asks for what the index does not have, such as a split. */
  open(spec: z.infer<Schema>, index: ImageIndex): Source;
}

/** What was given for images. */
export interface Given {
  readonly text: string;
  /** The same as an absolute path. */
  readonly path: string;
  /** It has signs of a pattern, and nothing is called so. */
  readonly isPattern: boolean;
  /** Image files in the folder and below it, or that the pattern matches. */
  readonly images: number;
  /** The other files there, by their endings in lower case. */
  readonly passed: ReadonlyMap<string, number>;
  /** Where there are no images: absolute paths of the files with many images in each, by their endings. */
  readonly archives: ReadonlyMap<string, readonly string[]>;
}

/**
 * What a kind is recognised by, the surest first. Where several kinds recognise what was given, the first of these
 * decides, and of two kinds with the same one the first in the list of kinds.
 */
export const clues = [
  "word", // it is a word, not a path
  "archive name", // the ending of files with many images in each, also in a pattern of them
  "pattern",
  "file name", // the ending of one file that is the data set, or lists it
  "images", // there are image files in the folder
  "own files", // the folder holds files of a format that only this kind has
  "archives", // the folder holds files with many images in each, or the pattern matches some
  "folder", // anything else
] as const;
export type Clue = (typeof clues)[number];
