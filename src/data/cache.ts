import type { Pixels, Source } from "./source.ts";

/** A source that keeps decoded images until they take `bytes`; those that do not fit are decoded whenever asked for. */
export function cached(source: Source, bytes: number): Source {
  const kept = new Map<number, Pixels>();
  let used = 0;
  return {
    ...source,
    async load(index) {
      const known = kept.get(index);
      if (known !== undefined) return known;
      const pixels = await source.load(index);
      if (used + pixels.data.byteLength <= bytes && !kept.has(index)) {
        kept.set(index, pixels);
        used += pixels.data.byteLength;
      }
      return pixels;
    },
  };
}
