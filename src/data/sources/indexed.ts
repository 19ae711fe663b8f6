/** A source of the images in an index. */
import { type Source, type Split, splitNames } from "../source.ts";
import { type Column, idOf, type ImageIndex } from "./image-index.ts";
import { slice, subset } from "./subset.ts";

export interface IndexedOptions {
  readonly name: string;
  /** Only the images of this split. */
  readonly split?: Split | undefined;
  /** How somebody gives these data splits, for the error when they have none: `subfolders named train and test`. */
  readonly splitHelp: string;
  readonly load: Source["load"];
  /** See Source.window. */
  readonly window?: number;
}

/** A source of the images in `index`. Throws one sentence when it has no such split. */
export function openIndexed(index: ImageIndex, { name, split, splitHelp, load, window }: IndexedOptions): Source {
  const { length, classes, labels, splits, blocks, notes } = index;
  const whole: Source = {
    name,
    length,
    classes,
    id: (i) => idOf(index, i),
    label: (i) => labels?.[i] ?? -1,
    ...(splits === undefined ? {} : { split: (i: number) => splitNames[splits[i]!]! }),
    ...(blocks === undefined ? {} : { blocks }),
    ...(window === undefined ? {} : { window }),
    notes,
    load,
  };
  if (split === undefined) return whole;
  if (splits === undefined) throw new Error(`${name} has no splits; they would be ${splitHelp}`);
  const wanted = splitNames.indexOf(split);
  const [first, last] = [splits.indexOf(wanted), splits.lastIndexOf(wanted)];
  if (first === -1) throw new Error(`${name} has no ${split} split`);
  const range = splits.subarray(first, last + 1);
  if (range.every((value) => value === wanted)) return slice(whole, first, range.length); // holds no numbers
  return subset(whole, rowsWhere(splits, wanted));
}

function rowsWhere(column: Column, value: number): Int32Array {
  let count = 0;
  for (const each of column) if (each === value) count++;
  const rows = new Int32Array(count);
  for (let i = 0, row = 0; i < column.length; i++) if (column[i] === value) rows[row++] = i;
  return rows;
}
