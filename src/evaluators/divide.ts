/** Which images of a source with classes teach, which are chosen by, and which are tested. */
import { fold, key, Random } from "../tensor/random.ts";
import type { Source, Split } from "../data/source.ts";

/** A class that the splits of a source ask for but do not teach. */
export function untaught({ length, label, split }: Source): number | undefined {
  if (split === undefined) return undefined;
  const rows = Array.from({ length }, (_, i) => i);
  const taught = new Set(rows.filter((i) => split(i) === "train").map(label));
  return rows.map(label).find((each) => each !== -1 && !taught.has(each));
}

type Division = Readonly<Record<Split, readonly number[]>>;

/**
 * The splits of the source; where it has none 70 % of the images are for training, 10 for validation and 20 for test.
 * A source with train and test alone gives a tenth of train for validation. One with train and validation alone, as
 * ImageNet is used, is tested on the latter and gives a tenth of train too, so that no choice is made on the test images.
 */
export function divide(source: Source, labels: Int32Array, seed: number): Division {
  const rows = Array.from(labels.keys()).filter((i) => labels[i] !== -1);
  const { split } = source;
  if (split === undefined) return divideByClass(rows, labels, seed, [0.7, 0.8]);
  const [train, validation, test] = (["train", "validation", "test"] as const).map((name) =>
    rows.filter((i) => split(i) === name),
  ) as [number[], number[], number[]];
  if (validation.length > 0 && test.length > 0) return { train, validation, test };
  return { ...divideByClass(train, labels, seed, [0.9, 1]), test: test.length > 0 ? test : validation };
}

/**
 * Random parts with the same share of every class: train up to the first bound, validation up to the second, then test.
 * A class of one image is for training.
 */
function divideByClass(
  rows: readonly number[],
  labels: Int32Array,
  seed: number,
  [train, validation]: readonly [number, number],
): Division {
  const parts = { train: [] as number[], validation: [] as number[], test: [] as number[] };
  const root = fold(key(seed), "evaluation split");
  const byClass = new Map<number, number[]>();
  for (const place of new Random(root).permutation(rows.length)) {
    const row = rows[place]!;
    const label = labels[row]!;
    byClass.set(label, byClass.get(label) ?? []);
    byClass.get(label)!.push(row);
  }
  for (const [label, members] of byClass) {
    const offset = new Random(fold(root, label)).uniform(); // so that small classes are rounded up as often as down
    for (const [i, row] of members.entries()) {
      const place = (i + offset) / members.length;
      parts[i === 0 || place < train ? "train" : place < validation ? "validation" : "test"].push(row);
    }
  }
  for (const part of Object.values(parts)) part.sort((a, b) => a - b);
  return parts;
}
