/** Multinomial logistic regression, solved exactly (L-BFGS), with loss and gradient computed by the engine in float64. */
import { tensor } from "../tensor/tensor.ts";
import { grad } from "../graph/grad.ts";
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import type { Backend } from "../backend/backend.ts";
import { cpu } from "../backend/cpu.ts";
import { crossEntropy } from "../nn/losses.ts";
import { project } from "../nn/layers.ts";
import type { EvaluatorOptions, Features, LabelledFeatures } from "./evaluator.ts";
import { minimize } from "./lbfgs.ts";
import { type Rows, spanOf } from "./span.ts";

export interface LogisticOptions extends EvaluatorOptions {
  readonly classes: number;
  /** Whether scores are W x + b, with no penalty on b, or W x alone. Default true. */
  readonly intercept?: boolean;
  /**
   * When a solution is good enough: its largest absolute gradient entry is below `gradient` (default 5e-4), or, without
   * an intercept, its duality gap is at most the share `gap` of the objective.
   */
  readonly stop?: { readonly gradient: number } | { readonly gap: number };
  /** Default 100. */
  readonly maxIterations?: number;
}

/** A linear classifier: weight [classes, width], bias [classes]. */
export interface LinearClassifier {
  readonly weight: Float64Array;
  readonly bias: Float64Array;
}

export interface LogisticSolution extends LinearClassifier {
  /** Mean cross entropy + (lambda / 2) ‖W‖². */
  readonly objective: number;
  /** How far the objective may be above the smallest possible one, as a share of it. Unknown with an intercept. */
  readonly gap?: number;
  readonly iterations: number;
  /** False: the iterations, or the digits of float64, ran out before the solution was good enough. */
  readonly converged: boolean;
}

/**
 * Minimises P(W) = mean cross entropy + (lambda / 2) ‖W‖² for each lambda in turn, each from the previous solution.
 *
 * L-BFGS works on V with W = V L⁻¹, where L Lᵀ = XᵀX / N + a tenth of its mean eigenvalue: directions in which features
 * vary little would otherwise take thousands of iterations under a weak penalty, with features that all point the same way.
 */
export async function fitLogistic(
  { features, labels }: LabelledFeatures,
  lambdas: readonly number[],
  options: LogisticOptions,
): Promise<LogisticSolution[]> {
  const { count, width } = features;
  const rows = Float64Array.from(features.rows);
  if (count >= width) return fitRows({ rows, count, width }, labels, lambdas, options);
  // The best W is made of the rows of X: what is orthogonal to them scores nothing and is penalised.
  const { rank, coordinates, toWidth } = await spanOf({ rows, count, width }, options);
  const within = await fitRows({ rows: coordinates, count, width: rank }, labels, lambdas, options);
  return within.map((solution) => ({ ...solution, weight: toWidth(solution.weight) }));
}

async function fitRows(
  { rows, count, width }: Rows,
  labels: ArrayLike<number>,
  lambdas: readonly number[],
  { classes, intercept = true, stop = { gradient: 5e-4 }, maxIterations = 100, threads }: LogisticOptions,
): Promise<LogisticSolution[]> {
  if (intercept && "gap" in stop)
    throw new Error(
      "the duality gap is known without an intercept only; stop by the gradient or leave out the intercept",
    );
  const backend = cpu({ threads }); // a GPU has no float64
  const program = await backend.compile(lossGraph(count, width, classes));
  program.bind({
    inputs: {
      basis: tensor("float64", [width, width], inverseRoot(await secondMoments(rows, count, width, backend), width)),
      x: tensor("float64", [count, width], rows),
      y: tensor("int64", [count], BigInt64Array.from(labels, BigInt)),
    },
  });
  const size = classes * width;
  let point: Float64Array = new Float64Array(intercept ? size + classes : size);
  const solutions: LogisticSolution[] = [];
  for (const value of lambdas) {
    const evaluate = async (at: Float64Array) => {
      const offsets = intercept ? at.slice(size) : new Float64Array(classes);
      const result = await program.run({
        v: tensor("float64", [classes, width], at.slice(0, size)),
        bias: tensor("float64", [classes], offsets),
        lambda: tensor("float64", [], Float64Array.of(value)),
      });
      const array = (name: string) => result[name]!.data as Float64Array;
      const gradient = new Float64Array(at.length);
      gradient.set(array("dV"));
      if (intercept) gradient.set(array("dBias"), size);
      const slopes = [array("dWeight"), ...(intercept ? [array("dBias")] : [])];
      return { value: array("loss")[0]!, gradient, slopes, classifier: { weight: array("weight"), bias: offsets } };
    };
    type Here = Awaited<ReturnType<typeof evaluate>>;
    const gapOf = ({ slopes }: Here) => dualityGap(slopes[0]!, value);
    const done = (here: Here) =>
      "gap" in stop
        ? gapOf(here) <= stop.gap * here.value
        : here.slopes.every((slope) => slope.every((each) => Math.abs(each) < stop.gradient));
    const found = await minimize(evaluate, point, { done, maxIterations });
    const { here, iterations, converged } = found;
    point = found.point;
    const gap = intercept ? {} : { gap: gapOf(here) / here.value };
    solutions.push({ ...here.classifier, objective: here.value, ...gap, iterations, converged });
  }
  await program.release();
  return solutions;
}

/** P at V L, with its gradients: `count` rows x with labels y. */
export function lossGraph(count: number, width: number, classes: number): Record<string, Value> {
  const v = op.input("v", "float64", [classes, width]);
  const bias = op.input("bias", "float64", [classes]);
  const basis = op.input("basis", "float64", [width, width]);
  const lambda = op.input("lambda", "float64", []);
  const x = op.input("x", "float64", [count, width]);
  const y = op.input("y", "int64", [count]);
  const weight = op.gemm(v, basis);
  const penalty = op.mul(op.mul(op.reduceSum(op.mul(weight, weight)), 0.5), lambda);
  const loss = op.add(crossEntropy(project(x, weight, bias), y), penalty);
  const [dWeight, dBias] = grad(loss, [weight, bias]) as [Value, Value];
  return { loss, weight, dWeight, dV: op.gemm(dWeight, basis, { transB: true }), dBias };
}

/**
 * The duality gap of P at W, an upper bound of P(W) - min P, from the gradient of P there.
 *
 * Fenchel's dual of P for α [N, classes] is D(α) = -(1/N) Σ ℓ*(αᵢ) - ‖Xᵀα‖² / (2 lambda N²), where ℓ is the cross entropy
 * of scores z and ℓ* its conjugate. At α = softmax(z) - onehot, the gradient of ℓ, ℓ(zᵢ) + ℓ*(αᵢ) = αᵢ·zᵢ; with z = X Wᵀ
 * and G = αᵀX / N the gap is P - D = ⟨G, W⟩ + (lambda / 2) ‖W‖² + ‖G‖² / (2 lambda) = ‖G + lambda W‖² / (2 lambda), and
 * G + lambda W is the gradient.
 */
export function dualityGap(gradient: Float64Array, lambda: number): number {
  return gradient.reduce((sum, each) => sum + each * each, 0) / (2 * lambda);
}

/** XᵀX / N: [width, width]. */
async function secondMoments(
  rows: Float64Array,
  count: number,
  width: number,
  backend: Backend,
): Promise<Float64Array> {
  const x = op.input("x", "float64", [count, width]);
  const program = await backend.compile({ moments: op.div(op.gemm(x, x, { transA: true }), count) });
  const { moments } = await program.run({ x: tensor("float64", [count, width], rows) });
  await program.release();
  return moments!.data as Float64Array;
}

/** L⁻¹ of the Cholesky decomposition L Lᵀ of a symmetric matrix plus a tenth of its mean eigenvalue. */
function inverseRoot(matrix: Float64Array, n: number): Float64Array {
  let trace = 0;
  for (let i = 0; i < n; i++) trace += matrix[i * n + i]!;
  const shift = Math.max((0.1 * trace) / n, 1e-12);
  const root = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * n + j]! + (i === j ? shift : 0);
      for (let k = 0; k < j; k++) sum -= root[i * n + k]! * root[j * n + k]!;
      root[i * n + j] = i === j ? Math.sqrt(sum) : sum / root[j * n + j]!;
    }
  const inverse = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    inverse[i * n + i] = 1;
    for (let k = 0; k < i; k++)
      for (let j = 0; j <= k; j++) inverse[i * n + j]! -= root[i * n + k]! * inverse[k * n + j]!;
    for (let j = 0; j <= i; j++) inverse[i * n + j]! /= root[i * n + i]!;
  }
  return inverse;
}

/** The most probable class of each row. */
export function classify({ rows, count, width }: Features, { weight, bias }: LinearClassifier): Int32Array {
  const result = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    let best = -Infinity;
    for (let c = 0; c < bias.length; c++) {
      let score = bias[c]!;
      for (let j = 0; j < width; j++) score += weight[c * width + j]! * rows[i * width + j]!;
      if (score > best) {
        best = score;
        result[i] = c;
      }
    }
  }
  return result;
}
