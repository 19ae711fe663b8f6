/** Multinomial logistic regression, solved exactly (L-BFGS), with the loss and gradient computed by the engine. */
import { tensor } from "../tensor/tensor.ts";
import { grad } from "../graph/grad.ts";
import * as op from "../graph/ops/index.ts";
import { compile } from "../onnx/executable.ts";
import { crossEntropy } from "../nn/losses.ts";
import { project } from "../nn/layers.ts";
import type { EvaluatorOptions, Features, LabelledFeatures } from "./evaluator.ts";
import { minimize } from "./lbfgs.ts";

export interface LogisticOptions extends EvaluatorOptions {
  readonly classes: number;
  /** Stop when the largest absolute gradient entry is below (default 5e-4). */
  readonly tolerance?: number;
  readonly maxIterations?: number;
}

/** A linear classifier: weight [classes, width], bias [classes]. */
export interface LinearClassifier {
  readonly weight: Float64Array;
  readonly bias: Float64Array;
}

/** Minimises mean cross entropy + (lambda / 2) ‖W‖² for each lambda in turn, each from the previous solution. */
export async function fitLogistic(
  { features, labels }: LabelledFeatures,
  lambdas: readonly number[],
  { classes, tolerance = 5e-4, maxIterations = 100, threads }: LogisticOptions,
): Promise<LinearClassifier[]> {
  const { rows, count, width } = features;
  const weight = op.input("weight", "float32", [classes, width]);
  const bias = op.input("bias", "float32", [classes]);
  const lambda = op.input("lambda", "float32", []);
  const x = op.input("x", "float32", [count, width]);
  const y = op.input("y", "int64", [count]);
  const penalty = op.mul(op.mul(op.reduceSum(op.mul(weight, weight)), 0.5), lambda);
  const loss = op.add(crossEntropy(project(x, weight, bias), y), penalty);
  const [dWeight, dBias] = grad(loss, [weight, bias]);
  const program = await compile({ loss, dWeight: dWeight!, dBias: dBias! }, { threads });
  program.bind({
    inputs: {
      x: tensor("float32", [count, width], rows),
      y: tensor("int64", [count], BigInt64Array.from(labels, BigInt)),
    },
  });
  const size = classes * width;
  let point: Float64Array = new Float64Array(size + classes);
  const solutions: LinearClassifier[] = [];
  for (const value of lambdas) {
    point = await minimize(
      async (at) => {
        const single = Float32Array.from(at);
        const result = await program.run({
          weight: tensor("float32", [classes, width], single.subarray(0, size)),
          bias: tensor("float32", [classes], single.subarray(size)),
          lambda: tensor("float32", [], Float32Array.of(value)),
        });
        const gradient = new Float64Array(size + classes);
        gradient.set(result["dWeight"]!.data as Float32Array);
        gradient.set(result["dBias"]!.data as Float32Array, size);
        return { value: Number(result["loss"]!.data[0]), gradient };
      },
      point,
      { tolerance, maxIterations },
    );
    solutions.push({ weight: point.slice(0, size), bias: point.slice(size) });
  }
  await program.release();
  return solutions;
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
