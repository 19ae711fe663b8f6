/** What a worker thread needs to open a source again. */
import type { ImageIndex } from "./image-index.ts";
import type { Source } from "../source.ts";

export interface Description {
  /** As `openSource` takes it. */
  readonly source: { readonly kind: string };
  /** Of its images, where it has one. */
  readonly index?: ImageIndex;
  /** Images that it had when it was opened. */
  readonly length: number;
  /** The images in use, as rows of that source; default all. */
  readonly rows?: Int32Array;
}

/**
 * Beside the sources and not in them: a copy of a source with another `load` (`{ ...source, load }`) must not be opened
 * as if it were the original.
 */
const descriptions = new WeakMap<Source, Description>();

/** `source`, of which `descriptionOf` says from now on how to open it again. */
export function describe<S extends Source>(source: S, description: Description): S {
  descriptions.set(source, description);
  return source;
}

/** Undefined for a source that only lives in this thread. */
export function descriptionOf(source: Source): Description | undefined {
  return descriptions.get(source);
}
