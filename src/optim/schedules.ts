/**
 * Warm-up and cosine per iteration (as MAE and MoCo v3 do): rises linearly from 0 over `warmup`, then falls on a half cosine to
 * `end`. `time` and `total` in epochs (fractions count) or any one unit; the result is a factor times `peak`'s unit.
 */
export function warmupCosine(
  time: number,
  { peak, warmup, total, end = 0 }: { peak: number; warmup: number; total: number; end?: number },
): number {
  if (time < warmup) return (peak * time) / warmup;
  return end + 0.5 * (peak - end) * (1 + Math.cos((Math.PI * (time - warmup)) / (total - warmup)));
}

/**
 * Warm-up, a constant rate, then annealing (warmup-stable-decay; Hu et al. 2024, MiniCPM): rises linearly from 0 over `warmup`,
 * stays at `peak`, and falls straight to `end` in the last `anneal` of `total`, a share. Straight as Zhai et al. 2022 cool
 * Vision Transformers down; for language models Hägele et al. 2024 find 1 - √share a little better. Until the annealing begins
 * the rate does not depend on `total`.
 */
export function warmupConstant(
  time: number,
  {
    peak,
    warmup,
    total,
    anneal,
    end = 0,
  }: { peak: number; warmup: number; total: number; anneal: number; end?: number },
): number {
  if (time < warmup) return (peak * time) / warmup;
  const from = total * (1 - anneal);
  return time < from ? peak : straight((time - from) / (total - from), peak, end);
}

/** The value at a share, in [0, 1], of the straight way from `start` to `end`. */
export function straight(share: number, start: number, end: number): number {
  return start + share * (end - start);
}

/** The linear scaling rule: learning rates are given for a batch of 256. */
export function scaleByBatch(baseRate: number, batch: number): number {
  return (baseRate * batch) / 256;
}
