/** Metric rows → the points a chart draws. */
import type { MetricRow } from "../run/metrics.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** The rows of one stage. */
export interface Stage {
  readonly name: string;
  readonly rows: readonly MetricRow[];
  /** Seconds spent, from `secondsPerStep`; undefined when it was not logged. */
  readonly seconds: number | undefined;
}

/** Stages in the order in which they were trained. */
export function stagesOf(rows: readonly MetricRow[]): Stage[] {
  return [...new Set(rows.map(({ stage }) => stage))].map((name) => {
    const own = rows.filter(({ stage }) => stage === name);
    return { name, rows: own, seconds: secondsOf(own) };
  });
}

/** One metric over the epochs, or over the steps when no epochs were logged. Values that are not finite are left out. */
export function seriesOf(rows: readonly MetricRow[], metric: string): Point[] {
  return rows.flatMap((row) => {
    const y = row[metric];
    return typeof y === "number" && Number.isFinite(y) ? [{ x: row.epoch ?? row.step, y }] : [];
  });
}

/**
 * Mean over a centred window of about `window` points. At the start, where curves are steep, the window shrinks on both
 * sides, so the curve does not lag; at the end it only loses its right half, so the last value is still a mean.
 */
export function smooth(points: readonly Point[], window: number): Point[] {
  const sums = [0];
  for (const { y } of points) sums.push(sums.at(-1)! + y);
  return points.map(({ x }, i) => {
    const reach = Math.min(Math.floor(window / 2), i);
    const end = Math.min(i + reach + 1, points.length);
    return { x, y: (sums[end]! - sums[i - reach]!) / (end - i + reach) };
  });
}

/** At most about `limit` points: the lowest and highest of each bucket, so that no spike is lost. */
export function thin(points: readonly Point[], limit: number): Point[] {
  if (points.length <= limit) return [...points];
  const size = Math.ceil(points.length / (limit / 2));
  const thinned: Point[] = [];
  for (let start = 0; start < points.length; start += size) {
    const bucket = points.slice(start, start + size);
    const low = bucket.reduce((a, b) => (b.y < a.y ? b : a));
    const high = bucket.reduce((a, b) => (b.y > a.y ? b : a));
    thinned.push(...(low === high ? [low] : low.x <= high.x ? [low, high] : [high, low]));
  }
  return thinned;
}

/** A logged row stands for all steps since the row before it. */
function secondsOf(rows: readonly MetricRow[]): number | undefined {
  let seconds = 0;
  let before = 0;
  for (const { step, secondsPerStep } of rows) {
    if (typeof secondsPerStep !== "number" || !Number.isFinite(secondsPerStep)) continue;
    seconds += secondsPerStep * Math.max(0, step - before);
    before = step;
  }
  return before === 0 ? undefined : seconds;
}
