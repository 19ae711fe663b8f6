import { type DecodeOptions, readImage } from "../formats/decode.ts";
import type { Source } from "../source.ts";

/** The image files at `paths`, in this order, without classes. Nothing is read before an image is asked for. */
export function openFiles(paths: readonly string[], options: DecodeOptions = {}): Source {
  return {
    name: paths.length === 1 ? paths[0]! : `${paths.length} files`,
    length: paths.length,
    classes: [],
    id: (i) => paths[i]!,
    label: () => -1,
    load: (i, hint) => readImage(paths[i]!, paths[i]!, options, hint),
  };
}
