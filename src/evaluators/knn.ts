import { accuracy, type Evaluator, type EvaluatorOptions, type LabelledFeatures, type Splits } from "./evaluator.ts";
import { type Neighbours, neighbours } from "./neighbours.ts";

export interface KnnOptions extends EvaluatorOptions {
  /**
   * Candidates for k; the validation split decides (default 1, 5, 10 and 20, without those larger than the number of
   * labelled images). Wu et al. (CVPR 2018) take 200 of 1.28 million images.
   */
  readonly ks?: readonly number[];
  /**
   * Candidates for the temperature of the votes' weights exp(similarity / temperature), decided with k (default 0.07, as
   * Wu et al.). Infinity: every vote counts the same.
   */
  readonly temperatures?: readonly number[];
}

/** A way to vote. */
export interface Vote {
  readonly k: number;
  readonly temperature: number;
}

/** Weighted k-nearest-neighbour classification by cosine similarity (Wu et al., CVPR 2018). */
export const knn: Evaluator<KnnOptions> = {
  name: "knn",
  async run({ classes, train, validation, test }: Splits, { device, threads, ...options } = {}) {
    const candidates = votesOf(options, train.features.count, `the ${train.features.count} labelled images`);
    const most = Math.max(...candidates.map(({ k }) => k));
    const onValidation = await neighbours(validation.features, train.features, most, { device, threads });
    const scores = candidates.map((vote) =>
      accuracy(elect(onValidation, train.labels, classes, vote), validation.labels),
    );
    const highest = Math.max(...scores);
    const best = candidates[scores.indexOf(highest)]!;
    const onTest = await neighbours(test.features, train.features, best.k, { device, threads });
    const predictions = elect(onTest, train.labels, classes, best);
    const value = accuracy(predictions, test.labels);
    return [{ name: "knn", value, validation: highest, predictions, detail: describeVote(best) }];
  },
};

/** Accuracy over labelled images of which each is classified by all the others. */
export interface LeaveOneOut {
  /** One per candidate: by temperature, then by k, in the order given. */
  readonly curve: readonly (Vote & { readonly value: number })[];
  /** The first of the highest in `curve`. Since it was chosen there, its value is a little too good. */
  readonly best: Vote & { readonly value: number };
  /** The class that `best` finds for each row. */
  readonly predictions: Int32Array;
}

/** k-NN on one set of labelled features, each row without itself: no image is spent on validation or test. */
export async function leaveOneOut(
  { features, labels }: LabelledFeatures,
  { device, threads, ...options }: KnnOptions = {},
): Promise<LeaveOneOut> {
  const others = features.count - 1;
  const candidates = votesOf(options, others, `the ${others} other images that one of ${features.count} has`);
  const most = Math.max(...candidates.map(({ k }) => k));
  const found = withoutSelf(await neighbours(features, features, most + 1, { device, threads }));
  const classes = Math.max(...labels) + 1;
  const curve = candidates.map((vote) => ({ ...vote, value: accuracy(elect(found, labels, classes, vote), labels) }));
  const best = curve.reduce((a, b) => (b.value > a.value ? b : a));
  return { curve, best, predictions: elect(found, labels, classes, best) };
}

/** All candidates. Throws when one asks for more neighbours than there are, unless it is a default. */
function votesOf({ ks, temperatures = [0.07] }: KnnOptions, available: number, what: string): Vote[] {
  const unusable = ks?.find((k) => !Number.isInteger(k) || k < 1 || k > available);
  if (unusable !== undefined)
    throw new Error(
      `k-NN cannot ask ${unusable} neighbours of ${what}; give a whole number from 1 to ${available} for k`,
    );
  const cold = temperatures.find((temperature) => !(temperature > 0));
  if (cold !== undefined) throw new Error(`the temperature of k-NN is ${cold}, but it has to be above 0`);
  const usable = ks ?? [1, 5, 10, 20].filter((k) => k <= available);
  if (usable.length === 0 || temperatures.length === 0)
    throw new Error("k-NN needs at least one labelled image to compare with, one k and one temperature");
  return temperatures.flatMap((temperature) => usable.map((k) => ({ k, temperature })));
}

/** `k = 20, temperature 0.07` */
export function describeVote({ k, temperature }: Vote): string {
  return `k = ${k}, ${temperature === Infinity ? "votes not weighted" : `temperature ${temperature}`}`;
}

/** The class with the largest sum of weights among the first k neighbours of each query; of equal ones the first. */
function elect(
  { indices, similarities, count }: Neighbours,
  labels: Int32Array,
  classes: number,
  { k, temperature }: Vote,
): Int32Array {
  const queries = indices.length / count;
  const result = new Int32Array(queries);
  for (let i = 0; i < queries; i++) {
    const weights = new Float64Array(classes);
    const nearest = similarities[i * count]!; // subtracted: only ratios matter, and a low temperature overflows
    for (let j = i * count; j < i * count + k; j++)
      weights[labels[indices[j]!]!]! += Math.exp((similarities[j]! - nearest) / temperature);
    result[i] = weights.indexOf(Math.max(...weights));
  }
  return result;
}

/** Neighbours of rows among themselves, one fewer: row i is taken from its own list, or else the last of the list. */
function withoutSelf({ indices, similarities, count }: Neighbours): Neighbours {
  const rows = indices.length / count;
  const kept = count - 1;
  const result = { indices: new Int32Array(rows * kept), similarities: new Float32Array(rows * kept), count: kept };
  for (let i = 0; i < rows; i++) {
    let to = i * kept;
    for (let from = i * count; from < (i + 1) * count && to < (i + 1) * kept; from++) {
      if (indices[from] === i) continue; // not always the first: another image may be equal to it
      result.indices[to] = indices[from]!;
      result.similarities[to++] = similarities[from]!;
    }
  }
  return result;
}
