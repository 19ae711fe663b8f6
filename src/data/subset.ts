import type { Source } from "./source.ts";
import { fold, key, Random } from "../tensor/random.ts";

/** The images `indices` of `source`, in this order. */
export function subset(source: Source, indices: ArrayLike<number>): Source {
  return {
    name: source.name,
    classes: source.classes,
    length: indices.length,
    id: (i) => source.id(indices[i]!),
    label: (i) => source.label(indices[i]!),
    load: (i) => source.load(indices[i]!),
  };
}

/** At most `limit` images, drawn by `seed`, in the source's order; the source itself when it has no more. */
export function sample(source: Source, limit: number | undefined, seed: number): Source {
  if (limit === undefined || limit >= source.length) return source;
  const drawn = new Random(fold(key(seed), "limit")).permutation(source.length).subarray(0, limit);
  return subset(source, drawn.sort());
}
