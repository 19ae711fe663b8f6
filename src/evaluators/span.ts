/** Few rows of many columns, looked at where they lie: in the space that the rows themselves span. */
import { tensor } from "../tensor/tensor.ts";
import * as op from "../graph/ops/index.ts";
import { cpu } from "../backend/cpu.ts";
import type { EvaluatorOptions } from "./evaluator.ts";

/** [count, width]. */
export interface Rows {
  readonly rows: Float64Array;
  readonly count: number;
  readonly width: number;
}

export interface Span {
  readonly rank: number;
  /** The rows in an orthonormal basis of their span: [count, rank]. */
  readonly coordinates: Float64Array;
  /** Weights [classes, rank] of coordinates as weights [classes, width] of columns: the same scores, the same lengths. */
  toWidth(weight: Float64Array): Float64Array;
}

/** By the Cholesky decomposition of X Xᵀ, the longest rest of a row first; a row that depends on those before adds no direction. */
export async function spanOf({ rows, count, width }: Rows, { threads }: EvaluatorOptions): Promise<Span> {
  const x = op.input("x", "float64", [count, width]);
  const program = await cpu({ threads }).compile({ products: op.gemm(x, x, { transB: true }) });
  const products = (await program.run({ x: tensor("float64", [count, width], rows) }))["products"]!
    .data as Float64Array;
  await program.release();
  const root = new Float64Array(count * count); // by row of X; column k belongs to the k-th pivot
  const left = Float64Array.from({ length: count }, (_, i) => products[i * count + i]!);
  const least = 1e-10 * left.reduce((sum, each) => Math.max(sum, each), 0);
  const pivots: number[] = [];
  while (pivots.length < count) {
    const pivot = left.reduce((best, each, i) => (each > left[best]! ? i : best), 0);
    if (left[pivot]! <= least) break;
    const k = pivots.push(pivot) - 1;
    const length = Math.sqrt(left[pivot]!);
    for (let i = 0; i < count; i++) {
      let sum = products[i * count + pivot]!;
      for (let j = 0; j < k; j++) sum -= root[i * count + j]! * root[pivot * count + j]!;
      root[i * count + k] = sum / length;
      left[i]! -= root[i * count + k]! ** 2;
    }
    for (let j = 0; j < k; j++) left[pivots[j]!] = 0;
    left[pivot] = 0;
  }
  const rank = Math.max(1, pivots.length); // rows of zeros alone have one direction, in which they are zero
  const coordinates = new Float64Array(count * rank);
  for (let i = 0; i < count; i++) coordinates.set(root.subarray(i * count, i * count + rank), i * rank);
  // The pivots' rows of X are L B, where L are their coordinates and B the basis: W = V B = (V L⁻¹) X.
  const toWidth = (weight: Float64Array) => {
    const classes = weight.length / rank;
    const result = new Float64Array(classes * width);
    for (let c = 0; c < classes; c++) {
      const v = weight.subarray(c * rank, (c + 1) * rank);
      const shares = new Float64Array(rank);
      const out = result.subarray(c * width, (c + 1) * width);
      for (let k = pivots.length - 1; k >= 0; k--) {
        let sum = v[k]!;
        for (let j = k + 1; j < pivots.length; j++) sum -= shares[j]! * root[pivots[j]! * count + k]!;
        const share = (shares[k] = sum / root[pivots[k]! * count + k]!);
        const row = rows.subarray(pivots[k]! * width, (pivots[k]! + 1) * width);
        for (let i = 0; i < width; i++) out[i]! += share * row[i]!;
      }
    }
    return result;
  };
  return { rank, coordinates, toWidth };
}
