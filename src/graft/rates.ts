/** From the measured conflict of two losses to a learning rate per block: the graft that the data ask for. */

export interface GraftPlan {
  /** Factor on the learning rate of each block, input side first; never falls towards the output. */
  readonly rates: readonly number[];
  /** Conflict of each block: the mean cosine with its sign turned, smoothed so that it never falls towards the output. */
  readonly conflict: readonly number[];
  /** False when the blocks differ by no more than chance: the rates are then the paper's thirds. */
  readonly trend: boolean;
}

/**
 * The paper's reasoning as a rule. Where the gradients of MIM and CL agree, CL has nothing to repair and a small rate
 * keeps what MIM has learned; where they conflict, the block must belong to one of them, and upper blocks serve CL. So the
 * rate rises with the conflict, from `lowest` at its smallest to 1 at its largest, geometrically between. Only depth may
 * raise it: the conflict is first fitted by the nearest curve that never falls (isotonic regression), whose steps are
 * the borders of the stages.
 *
 * `cosines` are the cosines of the two gradients, [blocks][batches]. When the fitted ends differ by less than twice the
 * standard error of their difference, depth says nothing and the paper's thirds (lowest, lowest, 1) stand in.
 */
export function planGraft(cosines: readonly (readonly number[])[], lowest: number): GraftPlan {
  const means = cosines.map((values) => values.reduce((a, b) => a + b, 0) / values.length);
  const variances = cosines.map((values, block) => {
    const squares = values.reduce((sum, value) => sum + (value - means[block]!) ** 2, 0);
    return squares / Math.max(1, values.length - 1) / values.length; // of the mean
  });
  const conflict = isotonic(means.map((mean) => -mean));
  const [least, most] = [conflict[0]!, conflict.at(-1)!];
  const noise = Math.sqrt((2 * variances.reduce((a, b) => a + b, 0)) / variances.length);
  const trend = most - least > 2 * noise;
  const rates = conflict.map((value, block) => {
    if (!trend) return block < Math.round((2 * conflict.length) / 3) ? lowest : 1;
    return lowest ** (1 - (value - least) / (most - least));
  });
  return { rates, conflict, trend };
}

/** The non-falling sequence nearest to `values` in squares (pool adjacent violators). */
export function isotonic(values: readonly number[]): number[] {
  const pools: { sum: number; count: number }[] = [];
  for (const value of values) {
    let pool = { sum: value, count: 1 };
    for (
      let last = pools.at(-1);
      last !== undefined && last.sum / last.count > pool.sum / pool.count;
      last = pools.at(-1)
    ) {
      pools.pop();
      pool = { sum: pool.sum + last.sum, count: pool.count + last.count };
    }
    pools.push(pool);
  }
  return pools.flatMap(({ sum, count }) => Array.from({ length: count }, () => sum / count));
}
