/** Heads computed in float64 with plain JavaScript: rows are arrays of channels. */
import type { Tensor } from "../../src/tensor/tensor.ts";
import { at } from "../helpers.ts";

export type Rows = readonly (readonly number[])[];
type Named = Readonly<Record<string, Tensor>>;

/** x W' (+ b where the values have one). */
export function plainLinear(x: Rows, values: Named, name: string): number[][] {
  const weight = values[`${name}.weight`]!;
  const bias = values[`${name}.bias`];
  return x.map((row) =>
    Array.from({ length: weight.shape[0]! }, (_, o) =>
      row.reduce((sum, value, i) => sum + value * at(weight, o, i), bias === undefined ? 0 : at(bias, o)),
    ),
  );
}

/** Every channel by its own mean and variance, then weight and bias where the values have them. */
export function plainBatchNorm(x: Rows, values: Named, name: string): number[][] {
  const channels = x[0]!.map((_, c) => x.map((row) => row[c]!));
  const weight = values[`${name}.weight`];
  const bias = values[`${name}.bias`];
  return x.map((row) =>
    row.map((value, c) => {
      const normalized = (value - mean(channels[c]!)) / Math.sqrt(variance(channels[c]!) + 1e-5);
      return weight === undefined ? normalized : normalized * at(weight, c) + at(bias!, c);
    }),
  );
}

export function plainRelu(x: Rows): number[][] {
  return x.map((row) => row.map((value) => Math.max(value, 0)));
}

export function mean(x: readonly number[]): number {
  return x.reduce((sum, value) => sum + value, 0) / x.length;
}

/** The mean square around the mean. */
export function variance(x: readonly number[]): number {
  const center = mean(x);
  return mean(x.map((value) => (value - center) ** 2));
}

/** The rows of one view of class tokens [2B, 1, D]. */
export function rowsOfView(features: Tensor, view: number): number[][] {
  const [both, , width] = features.shape as [number, number, number];
  return Array.from({ length: both / 2 }, (_, n) =>
    Array.from({ length: width }, (_, d) => at(features, (view * both) / 2 + n, 0, d)),
  );
}
