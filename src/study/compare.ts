/** Two methods on the same seeds: is the difference more than chance? */

/** The paired difference of two methods over the seeds that both have. */
export interface Comparison {
  readonly difference: number;
  /** Standard error of the difference; absent with one seed. */
  readonly error?: number;
  readonly seeds: number;
}

export type Verdict = "agrees" | "does not agree" | "within noise";

/** The mean of a - b over common seeds; undefined when there are none. */
export function compare(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): Comparison | undefined {
  const differences = [...a].flatMap(([seed, value]) => (b.has(seed) ? [value - b.get(seed)!] : []));
  const seeds = differences.length;
  if (seeds === 0) return undefined;
  const difference = mean(differences);
  return seeds === 1 ? { difference, seeds } : { difference, error: deviation(differences) / Math.sqrt(seeds), seeds };
}

/**
 * Whether a difference that a claim says is above zero is so: it agrees when the difference is above zero by more than its
 * 95 % confidence interval (Student's t, two-sided, of the paired differences), does not when it is below zero by more,
 * and is within noise otherwise, as it always is with one seed.
 */
export function verdictOf({ difference, error, seeds }: Comparison): Verdict {
  if (error === undefined || Math.abs(difference) <= student95(seeds - 1) * error) return "within noise";
  return difference > 0 ? "agrees" : "does not agree";
}

/** How many standard errors wide each half of a two-sided 95 % interval is. */
function student95(freedom: number): number {
  const table = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
  return table[freedom - 1] ?? 2.228; // more seeds are judged as if they were eleven
}

export function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Sample standard deviation. */
export function deviation(values: readonly number[]): number {
  const center = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1));
}
