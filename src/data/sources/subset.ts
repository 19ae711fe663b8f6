import { describe, descriptionOf } from "./description.ts";
import { blocksOf } from "./blocks.ts";
import type { Source } from "../source.ts";
import { fold, key, Random } from "../../tensor/random.ts";

/** The images `indices` of `source`, in this order. Blocks are those of the source, when the order is ascending. */
export function subset(source: Source, indices: ArrayLike<number>): Source {
  const blocks = source.blocks && blocksOf(source.blocks, indices);
  const part: Source = {
    name: source.name,
    classes: source.classes,
    length: indices.length,
    id: (i) => source.id(indices[i]!),
    label: (i) => source.label(indices[i]!),
    ...(source.split === undefined ? {} : { split: (i: number) => source.split!(indices[i]!) }),
    ...(blocks === undefined ? {} : { blocks }),
    ...(source.window === undefined ? {} : { window: source.window }),
    ...(source.notes === undefined ? {} : { notes: source.notes }),
    load: (i, hint) => source.load(indices[i]!, hint),
  };
  const whole = descriptionOf(source);
  if (whole === undefined) return part;
  const rows = Int32Array.from(indices, (i) => whole.rows?.[i] ?? i);
  return describe(part, { ...whole, rows });
}

/** The `length` images from `first` on: a subset that takes no memory. */
export function slice(source: Source, first: number, length: number): Source {
  return {
    ...source,
    length,
    id: (i) => source.id(first + i),
    label: (i) => source.label(first + i),
    ...(source.split === undefined ? {} : { split: (i: number) => source.split!(first + i) }),
    ...(source.blocks === undefined
      ? {}
      : {
          blocks: Uint32Array.from([
            0,
            ...Array.from(source.blocks, (start) => start - first).filter((start) => start > 0 && start < length),
          ]),
        }),
    load: (i, hint) => source.load(first + i, hint),
  };
}

/** At most `limit` images, drawn by `seed`, in the source's order; the source itself when it has no more. */
export function sample(source: Source, limit: number | undefined, seed: number): Source {
  if (limit === undefined || limit >= source.length) return source;
  const drawn = new Random(fold(key(seed), "limit")).permutation(source.length).slice(0, limit);
  return subset(source, drawn.sort());
}

/**
 * Like `sample`, but with the same share of every class of every split, and at least one image of each where `limit`
 * allows it. Images without a class are left out.
 */
export function stratifiedSample(source: Source, limit: number | undefined, seed: number): Source {
  if (limit === undefined || limit >= source.length) return source;
  const root = fold(key(seed), "stratified limit");
  const groups = new Map<string, number[]>();
  for (const row of new Random(root).permutation(source.length)) {
    if (source.label(row) === -1) continue;
    const group = `${source.split?.(row) ?? "all"} ${source.label(row)}`;
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group)!.push(row);
  }
  const places = [...groups].flatMap(([group, rows]) => {
    const offset = new Random(fold(root, group)).uniform(); // so that groups do not all round up at the same limit
    return rows.map((row, i) => ({ row, place: i === 0 ? 0 : (i + offset) / rows.length }));
  });
  const chosen = places.sort((a, b) => a.place - b.place).slice(0, limit);
  return subset(
    source,
    chosen.map(({ row }) => row).sort((a, b) => a - b),
  );
}
