import type { Pixels, Source } from "../source.ts";

/**
 * A source that keeps decoded images until one does not fit into `bytes`; from then on, those that are not kept are
 * decoded whenever they are asked for, and only the part that is.
 */
export function cached(source: Source, bytes: number): Source {
  const kept = new Map<number, Pixels>();
  let used = 0;
  let isFull = bytes === 0;
  return {
    ...source,
    async load(index, hint) {
      const known = kept.get(index);
      if (known !== undefined) return known;
      if (isFull) return source.load(index, hint);
      const pixels = await source.load(index);
      isFull ||= used + pixels.data.byteLength > bytes;
      if (!isFull && !kept.has(index)) {
        kept.set(index, pixels);
        used += pixels.data.byteLength;
      }
      return pixels;
    },
  };
}
