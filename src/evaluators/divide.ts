/** Which images of a source with classes teach, which are chosen by, and which are tested. */
import { fold, key, Random } from "../tensor/random.ts";
import type { Source, Split } from "../data/source.ts";
import { shown } from "../tensor/text.ts";

export type Division = Readonly<Record<Split, readonly number[]>>;

/**
 * Why a split that a source has cannot be used to choose or to test by: it has no labels, or a class that is not taught.
 * A sentence for each such split, that begins with what it is of.
 */
export function unusableSplits({ length, classes, label, split }: Source): ReadonlyMap<Split, string> {
  const unusable = new Map<Split, string>();
  if (split === undefined || classes.length < 2) return unusable;
  const found: Record<Split, Set<number>> = { train: new Set(), validation: new Set(), test: new Set() };
  for (let i = 0; i < length; i++) found[split(i)].add(label(i));
  const isTaught = [...found.train].some((each) => each !== -1);
  for (const name of ["validation", "test"] as const) {
    if (!isTaught) continue; // see divide
    const labels = [...found[name]].filter((each) => each !== -1);
    const strange = labels.filter((each) => !found.train.has(each));
    if (found[name].size > 0 && labels.length === 0) unusable.set(name, `the ${name} images have no labels`);
    else if (strange.length > 0)
      unusable.set(
        name,
        `the ${name} images are also of the class ${shown(classes[strange[0]!]!)}` +
          `${strange.length === 1 ? "" : ` and ${strange.length - 1} more`}, of which there is no training image`,
      );
  }
  return unusable;
}

/** What is said of a source whose splits are not all used as they are. */
export function splitNotes(source: Source): string[] {
  const { length, classes, label, split } = source;
  if (split === undefined || classes.length < 2) return [];
  if (!Array.from({ length }, (_, i) => i).some((i) => split(i) === "train" && label(i) !== -1))
    return ["the training images have no labels: those of the other splits are divided for evaluation"];
  const unusable = [...unusableSplits(source)];
  if (unusable.length === 0) return [];
  const held = new Set(Array.from({ length }, (_, i) => split(i)));
  const isAlone = unusable.length === held.size - 1;
  const instead = isAlone
    ? ": they are not used, and training images are held back for evaluation"
    : ": they are not used";
  return unusable.map(([, why]) => `${why}${instead}`);
}

/**
 * The splits of the source, without those that are unusable; where there are none 70 % of the images are for training, 10
 * for validation and 20 for test. A source with train and test alone gives a tenth of train for validation. One with train
 * and validation alone, as ImageNet is used, is tested on the latter and gives a tenth of train too, so that no choice is
 * made on the test images. A train split of so few images that none can be given is chosen by itself. Where train has no
 * labels the others are divided.
 */
export function divide(
  source: Source,
  labels: Int32Array,
  seed: number,
  unusable: ReadonlyMap<Split, string> = unusableSplits(source),
): Division {
  const rows = Array.from(labels.keys()).filter((i) => labels[i] !== -1);
  const { split } = source;
  if (split === undefined) return divideByClass(rows, labels, seed, [0.7, 0.8]);
  const rowsOf = (name: Split) => (unusable.has(name) ? [] : rows.filter((i) => split(i) === name));
  const [train, validation, test] = [rowsOf("train"), rowsOf("validation"), rowsOf("test")];
  if (train.length === 0) return divideByClass(rows, labels, seed, [0.7, 0.8]);
  if (validation.length > 0 && test.length > 0) return { train, validation, test };
  if (validation.length === 0 && test.length === 0) return divideByClass(train, labels, seed, [0.7, 0.8]);
  const divided = { ...divideByClass(train, labels, seed, [0.9, 1]), test: test.length > 0 ? test : validation };
  return divided.validation.length > 0 ? divided : { ...divided, validation: divided.train };
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
