/** What an evaluation sees of an encoder: features of labelled images, computed once and shared by all protocols. */
import type { DeviceOptions } from "../backend/device.ts";
import type { Skipped } from "../data/batches/bad.ts";

/** One row of `width` numbers per image. */
export interface Features {
  readonly rows: Float32Array;
  readonly count: number;
  readonly width: number;
  /** Images of the source that could not be read: their rows are zero and must not be used. */
  readonly unreadable?: readonly Skipped[];
}

/** Features with the class of each row. */
export interface LabelledFeatures {
  readonly features: Features;
  readonly labels: Int32Array;
}

/** Train: labels may be used. Validation: choices are made here. Test: looked at once. */
export interface Splits {
  readonly classes: number;
  readonly train: LabelledFeatures;
  readonly validation: LabelledFeatures;
  readonly test: LabelledFeatures;
}

export interface Score {
  readonly name: string;
  /** On the test split: the share of correct answers, in [0, 1], or what else the protocol's metric is. */
  readonly value: number;
  /** Standard deviation over draws, where there are several. */
  readonly deviation?: number;
  /** The same on the validation split, where a choice was made on it: what compared runs are chosen by. */
  readonly validation?: number;
  /** The class given to each row of the test split, where there is one answer for each. */
  readonly predictions?: Int32Array;
  /** Mean number of labels per class that were learned from, where these are few. */
  readonly labels?: number;
  /** What was chosen, for people: `learning rate 0.3, epoch 20`. */
  readonly detail?: string;
  /** One sentence on why the number may be less than could be. */
  readonly warning?: string;
}

/**
 * What every evaluator takes. The device runs encoders, trains them and finds neighbours; classifiers on features are the
 * processor's, since a GPU has no float64.
 */
export interface EvaluatorOptions extends DeviceOptions {}

/** The arithmetic of a protocol, one file each. Options with defaults belong to the file. */
export interface Evaluator<O extends EvaluatorOptions = EvaluatorOptions> {
  readonly name: string;
  run(splits: Splits, options?: O): Promise<Score[]>;
}

/** The rows at `indices`, copied. */
export function pick({ features, labels }: LabelledFeatures, indices: ArrayLike<number>): LabelledFeatures {
  const { rows, width } = features;
  const picked = new Float32Array(indices.length * width);
  const classes = new Int32Array(indices.length);
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i]!;
    picked.set(rows.subarray(from * width, (from + 1) * width), i * width);
    classes[i] = labels[from]!;
  }
  return { features: { rows: picked, count: indices.length, width }, labels: classes };
}

/** Share of places where the two agree. */
export function accuracy(predicted: ArrayLike<number>, labels: ArrayLike<number>): number {
  let hits = 0;
  for (let i = 0; i < labels.length; i++) if (predicted[i] === labels[i]) hits++;
  return hits / labels.length;
}

/** What always naming the most frequent class would reach. */
export function mostFrequent(labels: ArrayLike<number>): number {
  const counts = new Map<number, number>();
  for (let i = 0; i < labels.length; i++) counts.set(labels[i]!, (counts.get(labels[i]!) ?? 0) + 1);
  return Math.max(...counts.values()) / labels.length;
}
