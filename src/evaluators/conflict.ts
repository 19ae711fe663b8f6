/**
 * Gradient conflict (layer-grafted pre-training, figure 1): the cosine between the gradients of masked image modelling and
 * of contrast with respect to the same parameters. Negative: a step that lowers one loss raises the other.
 */
import { type Tensor, tensor } from "../tensor/tensor.ts";
import {
  type ConflictRow,
  type Distribution,
  type ParameterGroup,
  parameterGroups,
  type Trend,
} from "../run/conflict.ts";

/** Gradients by name of the encoder's parameter, without prefix. */
export type Gradients = ReadonlyMap<string, Tensor>;

/** The two gradients in one group of a block. */
export interface Agreement {
  readonly block: number;
  readonly group: ParameterGroup;
  /** In [-1, 1]; 0 when one of the gradients is zero: it pulls nowhere. */
  readonly cosine: number;
  readonly mimNorm: number;
  readonly clNorm: number;
}

/** Per block and group, input side first; sums in float64. A parameter that only one of the two has is zero in the other. */
export function agreements(mim: Gradients, cl: Gradients): Agreement[] {
  const sums = new Map<number, Map<ParameterGroup, { dot: number; mim: number; cl: number }>>();
  for (const name of new Set([...mim.keys(), ...cl.keys()])) {
    const [, block, part] = /^blocks\.(\d+)\.(attn|mlp|norm)/.exec(name) ?? [];
    if (block === undefined) continue;
    const [dot, ofMim, ofCl] = products(mim.get(name), cl.get(name));
    const groups =
      sums.get(Number(block)) ?? new Map(parameterGroups.map((group) => [group, { dot: 0, mim: 0, cl: 0 }]));
    sums.set(Number(block), groups);
    for (const group of [part === "attn" ? "attention" : (part as "mlp" | "norm"), "block"] as const) {
      const sum = groups.get(group)!;
      sum.dot += dot;
      sum.mim += ofMim;
      sum.cl += ofCl;
    }
  }
  return [...sums]
    .sort(([a], [b]) => a - b)
    .flatMap(([block, groups]) =>
      [...groups].map(([group, { dot, mim, cl }]) => ({
        block,
        group,
        cosine: mim * cl === 0 ? 0 : dot / Math.sqrt(mim * cl),
        mimNorm: Math.sqrt(mim),
        clNorm: Math.sqrt(cl),
      })),
    );
}

/** a·b, a·a and b·b; a tensor that is missing is zero. */
function products(a: Tensor | undefined, b: Tensor | undefined): [number, number, number] {
  const size = (a ?? b)!.data.length;
  const [left, right] = [a, b].map((each) => (each?.data ?? new Float32Array(size)) as Float32Array | Float64Array);
  let [dot, first, second] = [0, 0, 0];
  for (let i = 0; i < size; i++) {
    const [x, y] = [left![i]!, right![i]!];
    dot += x * y;
    first += x * x;
    second += y * y;
  }
  return [dot, first, second];
}

/** Adds `gradients` to `sum`, in float64. */
export function addTo(sum: Map<string, Tensor<"float64">>, gradients: Gradients): void {
  for (const [name, { data, shape }] of gradients) {
    const total = sum.get(name) ?? tensor("float64", shape, new Float64Array(data.length));
    sum.set(name, total);
    for (let i = 0; i < data.length; i++) total.data[i]! += Number(data[i]);
  }
}

/**
 * What several batches say together: a row per block and group, and the trend of each group. Rounded to six digits.
 * `means` are the agreements of the gradients that were averaged over the batches first.
 */
export function conflictRows(
  batches: readonly (readonly Agreement[])[],
  means?: readonly Agreement[],
): {
  rows: ConflictRow[];
  trends: Record<ParameterGroup, Trend>;
} {
  const rows = batches[0]!.map(({ block, group }, place): ConflictRow => {
    const all = batches.map((batch) => batch[place]!);
    return {
      block,
      group,
      ...distribution(all.map(({ cosine }) => cosine)),
      cosines: all.map(({ cosine }) => round(cosine)),
      mimNorms: all.map(({ mimNorm }) => Number(mimNorm.toPrecision(6))),
      clNorms: all.map(({ clNorm }) => Number(clNorm.toPrecision(6))),
      ...(means === undefined ? {} : { ofMeans: round(means[place]!.cosine) }),
    };
  });
  const trendOf = (wanted: ParameterGroup) =>
    trend(batches.map((batch) => batch.flatMap(({ group, cosine }) => (group === wanted ? cosine : []))));
  return {
    rows,
    trends: { attention: trendOf("attention"), mlp: trendOf("mlp"), norm: trendOf("norm"), block: trendOf("block") },
  };
}

/** Mean, spread, quantiles (linear between neighbours) and share below zero of at least one value. */
export function distribution(values: readonly number[]): Distribution {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const sorted = values.toSorted((a, b) => a - b);
  const quantile = (share: number) => {
    const place = share * (count - 1);
    const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
    return round(low + (high - low) * (place % 1));
  };
  return {
    mean: round(mean),
    deviation: round(Math.sqrt(squares / Math.max(1, count - 1))),
    quantiles: {
      p5: quantile(0.05),
      p25: quantile(0.25),
      p50: quantile(0.5),
      p75: quantile(0.75),
      p95: quantile(0.95),
    },
    negative: round(values.filter((value) => value < 0).length / count),
  };
}

/**
 * How cosines go with depth: [batches][blocks], input side first; all 0 when there is no difference. The slope's error is that
 * of its mean over the batches, because the blocks of one batch are not independent of each other.
 */
export function trend(profiles: readonly (readonly number[])[]): Trend {
  const depths = profiles[0]!.map((_, block) => block);
  const means = depths.map((block) => distribution(profiles.map((profile) => profile[block]!)).mean);
  const { covariance, first, second } = moments(depths, ranks(means));
  const slopes = profiles.map((profile) => {
    const line = moments(depths, profile);
    return line.first === 0 ? 0 : line.covariance / line.first;
  });
  const { mean, deviation } = distribution(slopes);
  return {
    rankCorrelation: second === 0 ? 0 : round(covariance / Math.sqrt(first * second)),
    slopePerBlock: mean,
    ...(slopes.length > 1 && { slopeError: round(deviation / Math.sqrt(slopes.length)) }),
  };
}

function moments(x: readonly number[], y: readonly number[]) {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanX, meanY] = [mean(x), mean(y)];
  let [covariance, first, second] = [0, 0, 0];
  for (const [i, value] of x.entries()) {
    const [a, b] = [value - meanX, y[i]! - meanY];
    covariance += a * b;
    first += a * a;
    second += b * b;
  }
  return { covariance, first, second };
}

/** Places in ascending order; equal values share the mean of theirs. */
function ranks(values: readonly number[]): number[] {
  return values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return below + (equal - 1) / 2;
  });
}

/**
 * One plain sentence on the trend of the whole blocks. A trend counts as clear when neither the order of the blocks nor the
 * choice of batches explains it: the rank correlation is higher than chance gives in one of twenty cases (without a trend
 * it is spread by 1 / sqrt(blocks - 1), so up to four blocks never show one), and the slope is beyond twice its error.
 */
export function describeTrend(
  { rankCorrelation, slopePerBlock, slopeError = Infinity }: Trend,
  blocks: number,
): string {
  const clear =
    Math.abs(rankCorrelation) * Math.sqrt(blocks - 1) > 1.96 &&
    Math.abs(slopePerBlock) > 2 * slopeError &&
    rankCorrelation * slopePerBlock > 0;
  const [word, way] = rankCorrelation < 0 ? ["grows", "falls"] : ["shrinks", "rises"];
  const error = Number.isFinite(slopeError) ? ` ± ${slopeError.toFixed(4)}` : "";
  const slope = (value: number) => `${value.toFixed(4)}${error} a block`;
  const rank = `rank correlation of mean cosine and depth ${rankCorrelation.toFixed(2)} over ${blocks} blocks`;
  const text = clear
    ? `The conflict ${word} with depth: the cosine ${way} by ${slope(Math.abs(slopePerBlock))} (${rank}).`
    : `No clear trend of the conflict with depth: the cosine changes by ${slope(slopePerBlock)} (${rank}).`;
  return text.replaceAll(/-(?=\d)/g, "−");
}

function round(value: number): number {
  return Number(value.toFixed(6)) + 0; // no negative zero, which JSON does not know
}
