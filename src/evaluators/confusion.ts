/** Which classes are taken for which. */

/** Images by [true class][predicted class]. */
export function confusionCounts(
  labels: ArrayLike<number>,
  predictions: ArrayLike<number>,
  classes: number,
): number[][] {
  if (labels.length !== predictions.length)
    throw new Error(`there are ${predictions.length} predictions for ${labels.length} labels; give one for each`);
  const counts = Array.from({ length: classes }, () => Array.from({ length: classes }, () => 0));
  for (let i = 0; i < labels.length; i++) counts[labels[i]!]![predictions[i]!]!++;
  return counts;
}

export interface ConfusedPair {
  readonly truth: number;
  readonly predicted: number;
  readonly count: number;
}

/** The most frequent mistakes, at most `limit`; of equally many, those that are a larger share of their class come first. */
export function worstPairs(counts: readonly (readonly number[])[], limit: number): ConfusedPair[] {
  const sizes = counts.map((row) => row.reduce((a, b) => a + b, 0));
  return counts
    .flatMap((row, truth) => row.map((count, predicted) => ({ truth, predicted, count })))
    .filter(({ truth, predicted, count }) => truth !== predicted && count > 0)
    .sort((a, b) => b.count - a.count || sizes[a.truth]! - sizes[b.truth]! || a.truth - b.truth)
    .slice(0, limit);
}
