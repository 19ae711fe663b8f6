/** Names of files as archives and disks write them. */
import { isUtf8 } from "node:buffer";

/** Bytes as text. What is not UTF-8 is taken for Latin-1, so that different names stay different. */
export function decodedName(bytes: Buffer): string {
  return bytes.toString(isUtf8(bytes) ? "utf8" : "latin1");
}

/** A path in an archive without what says nothing: `./`, and slashes that are in front or doubled. */
export function tidied(path: string): string {
  return path.replaceAll(/(^|\/)(\.?\/)+/g, "$1").replace(/^\//, "");
}
