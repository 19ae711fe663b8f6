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

/** The linear scaling rule: learning rates are given for a batch of 256. */
export function scaleByBatch(baseRate: number, batch: number): number {
  return (baseRate * batch) / 256;
}
