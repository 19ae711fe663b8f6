import { readImage } from "../formats/decode.ts";
import type { Source } from "../source.ts";

export interface FilesOptions {
  /** Larger images are reduced to this shorter side, in pixels, while they are decoded. */
  readonly shortSide?: number;
}

/** The image files at `paths`, in this order, without classes. Nothing is read before an image is asked for. */
export function openFiles(paths: readonly string[], { shortSide }: FilesOptions = {}): Source {
  return {
    name: paths.length === 1 ? paths[0]! : `${paths.length} files`,
    length: paths.length,
    classes: [],
    id: (i) => paths[i]!,
    label: () => -1,
    load: (i, hint) => readImage(paths[i]!, paths[i]!, shortSide, hint),
  };
}
