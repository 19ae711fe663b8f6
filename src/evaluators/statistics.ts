/** How features are spread: whether they have collapsed to a point or to a few directions. */
import type { Features } from "./evaluator.ts";
import { unitRows } from "./neighbours.ts";

export interface Statistics {
  /** Mean Euclidean length of a row. */
  readonly norm: number;
  /** See `deviation`. */
  readonly deviation: number;
  /** Mean square of the off-diagonal entries of the correlation matrix, of columns that are not constant. */
  readonly correlation: number;
  /**
   * (Σλ)² / Σλ² of the eigenvalues λ of the covariance: as many directions, were their variances equal, would be spread
   * alike. Between 1 and the width; 0 when all rows are the same. It is (tr C)² / ‖C‖², so no eigenvalue is computed.
   */
  readonly participationRatio: number;
}

/** In float64, with moments divided by the number of rows. Throws when there are fewer than two rows. */
export function statistics(features: Features): Statistics {
  const { rows, count, width } = features;
  if (count < 2) throw new Error(`statistics of features need two images or more, but there are ${count}`);
  let norm = 0;
  for (let i = 0; i < count; i++) {
    let squares = 0;
    for (let j = i * width; j < (i + 1) * width; j++) squares += rows[j]! ** 2;
    norm += Math.sqrt(squares) / count;
  }

  const columns = centredColumns(features);
  const variances = columns.map((column) => dot(column, column));
  let [squares, correlations, pairs] = [0, 0, 0];
  for (let i = 0; i < width; i++) {
    squares += variances[i]! ** 2;
    for (let j = 0; j < i; j++) {
      const square = dot(columns[i]!, columns[j]!) ** 2;
      squares += 2 * square;
      const product = variances[i]! * variances[j]!;
      if (product === 0) continue;
      correlations += square / product;
      pairs++;
    }
  }
  const trace = variances.reduce((sum, each) => sum + each, 0);
  return {
    norm,
    deviation: deviation(features),
    correlation: pairs === 0 ? 0 : correlations / pairs,
    participationRatio: squares === 0 ? 0 : trace ** 2 / squares,
  };
}

/**
 * Mean over columns of the standard deviation of the features, each divided by its length, times √width: 1 when they point
 * everywhere alike, 0 when they are all the same.
 */
export function deviation(features: Features): number {
  const unit = centredColumns({ ...features, rows: unitRows(features) });
  const sum = unit.reduce((total, column) => total + Math.sqrt(dot(column, column) / features.count), 0);
  return sum / Math.sqrt(features.width);
}

/** The columns, each less its mean. */
export function centredColumns({ rows, count, width }: Features): Float64Array[] {
  return Array.from({ length: width }, (_, j) => {
    const column = Float64Array.from({ length: count }, (_each, i) => rows[i * width + j]!);
    const mean = column.reduce((sum, x) => sum + x, 0) / count;
    return column.map((x) => x - mean);
  });
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
