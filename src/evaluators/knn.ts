import { accuracy, type Evaluator, type EvaluatorOptions, type Splits } from "./evaluator.ts";
import { type Neighbours, neighbours } from "./neighbours.ts";

export interface KnnOptions extends EvaluatorOptions {
  /** Candidates for k; the validation split decides. */
  readonly ks?: readonly number[];
  /** Temperature of the votes' weights exp(similarity / temperature) (Wu et al., CVPR 2018: 0.07). */
  readonly temperature?: number;
}

/** Weighted k-nearest-neighbour classification by cosine similarity (Wu et al., CVPR 2018). */
export const knn: Evaluator<KnnOptions> = {
  name: "knn",
  async run({ classes, train, validation, test }: Splits, { ks = [1, 5, 10, 20], temperature = 0.07, threads } = {}) {
    const usable = ks.filter((k) => k <= train.features.count);
    if (usable.length === 0)
      throw new Error(`k-NN needs at least ${Math.min(...ks)} labelled images, but there are ${train.features.count}`);
    const most = Math.max(...usable);
    const vote = (found: Neighbours, k: number) => votes(found, train.labels, { classes, k, temperature });
    const onValidation = await neighbours(validation.features, train.features, most, { threads });
    const scores = usable.map((k) => accuracy(vote(onValidation, k), validation.labels));
    const highest = Math.max(...scores);
    const best = usable[scores.indexOf(highest)]!;
    const onTest = await neighbours(test.features, train.features, most, { threads });
    return [{ name: "knn", value: accuracy(vote(onTest, best), test.labels), validation: highest }];
  },
};

/** The class with the largest sum of weights among the first k neighbours of each query. */
function votes(
  { indices, similarities, count }: Neighbours,
  labels: Int32Array,
  { classes, k, temperature }: { classes: number; k: number; temperature: number },
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
