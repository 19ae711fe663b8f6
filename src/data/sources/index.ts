/** What stands behind a source of images: files by name, the index of a data set, lists of its parts. */
export { rowsOfSplitFile } from "../formats/split-file.ts";
export { openFiles } from "./files.ts";
export type { ImageIndex } from "./image-index.ts";
export { indexOf } from "./open.ts";
