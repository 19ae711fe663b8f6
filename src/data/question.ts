/** What may be asked of an encoder about the images of a source. */
import type { Source, Split } from "./source.ts";

/** Which class is this image of? */
export interface Question {
  /** `98 subgroups` */
  readonly what: string;
  readonly classes: readonly string[];
  /** Class of each image of the source, -1 for none. */
  readonly labels: Int32Array;
  /** The images that teach, that are chosen by, and that are tested. */
  readonly rows: Readonly<Record<Split, readonly number[]>>;
  /** The only protocol that is asked: `knn` of images whose classes were taught by others than theirs. */
  readonly only?: string;
}

/** Is the image most like this one of the same thing? */
export interface Pairing {
  readonly what: string;
  /** What each image of the source shows. */
  readonly identities: Int32Array;
  readonly queries: readonly number[];
  readonly gallery: readonly number[];
}

export interface Questions {
  /** The images that all rows below count in. */
  readonly source: Source;
  readonly questions: readonly Question[];
  readonly pairings: readonly Pairing[];
  /** Why there are no questions, when there are none. */
  readonly reason?: string;
  /** For the reader: which splits are not used as they are, and why. */
  readonly notes?: readonly string[];
  /** Images to show in pictures: nobody trained on them where the data set allows it. */
  readonly shown: Source;
}
