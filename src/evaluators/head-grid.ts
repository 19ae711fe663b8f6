/** Many linear classifiers on the same features, trained side by side: one graph, one product, one run a step. */
import { sizeOf } from "../tensor/shape.ts";
import { tensor } from "../tensor/tensor.ts";
import { vjp } from "../graph/grad.ts";
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import { openBackend } from "../backend/open.ts";
import { type Initializer, zeros } from "../nn/init.ts";
import { batchNorm, project } from "../nn/layers.ts";
import { Scope } from "../nn/scope.ts";
import type { EvaluatorOptions, LabelledFeatures } from "./evaluator.ts";
import type { LinearClassifier } from "./logistic.ts";

/** How one head is trained. */
export interface HeadRates {
  readonly learningRate: number;
  readonly weightDecay: number;
}

export interface HeadGridOptions extends EvaluatorOptions {
  readonly heads: readonly HeadRates[];
  readonly classes: number;
  readonly width: number;
  /** Rows of a step. */
  readonly batch: number;
  readonly optimizer: "sgd" | "lars";
  /** 0 keeps no momentum. */
  readonly momentum: number;
  /** Features are normalised for all heads alike: by the batch in training, by running statistics afterwards. */
  readonly batchNorm: boolean;
  /** [classes, width]: what every head starts from, with biases of zero. */
  readonly weight: Float32Array;
}

export interface HeadGrid {
  /** One update of every head on `batch` rows; `factor` multiplies all learning rates. */
  step(batch: LabelledFeatures, factor: number): Promise<void>;
  /** Share of correct answers of each head; NaN for one whose outputs are not finite. */
  accuracies(examples: LabelledFeatures): Promise<Float64Array>;
  /** Head `i` as it is now, with the batch normalisation folded in. A copy. */
  classifier(i: number): Promise<LinearClassifier>;
  release(): Promise<void>;
}

/** Batch normalisation before a head: MAE's linear probing and the paper's `add_batch_norm`. */
const epsilon = 1e-6;
const rowsAtOnce = 256;

export async function createHeadGrid(options: HeadGridOptions): Promise<HeadGrid> {
  const { heads, classes, width } = options;
  const { outputs, scope } = trainingGraph(options);
  const backend = openBackend(options);
  const training = await backend.compile(outputs, Object.keys(outputs));
  const judging = await backend.compile(judgingGraph(options));

  const variables = [...scope.variables.values()];
  const state = await backend.allocate({ variables, trained: new Set(), averaged: [] });
  const first = variables.map(
    ({ name, shape, init }) => [name, tensor("float32", shape, init(shape, [0, 0]))] as const,
  );
  await state.write(new Map(first));
  // Each output is written where the input lies that it replaces; whatever else reads the input feeds that output.
  const handles = variables.map(({ name }) => [name, state.handle(name)] as const);
  training.bind({
    inputs: Object.fromEntries(handles),
    outputs: Object.fromEntries(handles.map(([name, handle]) => [`next.${name}`, handle])),
  });
  judging.bind({ inputs: Object.fromEntries(handles.filter(([name]) => judging.inputs.has(name))) });

  return {
    async step({ features: { rows, count }, labels }, factor) {
      await training.run({
        x: tensor("float32", [count, width], rows),
        y: tensor("int64", [count], BigInt64Array.from(labels, BigInt)),
        factor: tensor("float32", [], Float32Array.of(factor)),
      });
    },
    async accuracies({ features: { rows, count }, labels }) {
      const hits = new Float64Array(heads.length);
      for (let start = 0; start < count; start += rowsAtOnce) {
        const x = new Float32Array(rowsAtOnce * width);
        x.set(rows.subarray(start * width, (start + rowsAtOnce) * width));
        const y = new BigInt64Array(rowsAtOnce).fill(-1n); // rows past the end are nobody's
        y.set(BigInt64Array.from(labels.subarray(start, start + rowsAtOnce), BigInt));
        const found = await judging.run({
          x: tensor("float32", [rowsAtOnce, width], x),
          y: tensor("int64", [rowsAtOnce], y),
        });
        const right = found["hits"]!.data as Float32Array;
        const sums = found["sums"]!.data as Float32Array;
        for (let i = 0; i < hits.length; i++) hits[i]! += Number.isFinite(sums[i]!) ? right[i]! : Number.NaN;
      }
      return hits.map((each) => each / count);
    },
    async classifier(i) {
      const values = await state.read();
      const part = (name: string, size: number) =>
        Float64Array.from(values.get(name)!.data.subarray(i * size, (i + 1) * size));
      const weight = part("weight", classes * width);
      const bias = part("bias", classes);
      if (!options.batchNorm) return { weight, bias };
      const mean = values.get("running_mean")!.data;
      const variance = values.get("running_var")!.data;
      for (let at = 0; at < weight.length; at++) {
        weight[at]! /= Math.sqrt(variance[at % width]! + epsilon);
        bias[Math.floor(at / width)]! -= weight[at]! * mean[at % width]!;
      }
      return { weight, bias };
    },
    async release() {
      await state.release();
      await training.release();
      await judging.release();
    },
  };
}

/** All heads' weights are one matrix [heads · classes, width]: their logits and gradients are one product each. */
export function trainingGraph({ heads, classes, width, batch, optimizer, momentum, ...options }: HeadGridOptions) {
  const count = heads.length;
  const rows = count * classes;
  const scope = new Scope();
  const x = op.input("x", "float32", [batch, width]);
  const y = op.input("y", "int64", [batch]);
  const factor = op.input("factor", "float32", []);
  const weight = scope.parameter("weight", [rows, width], tile(options.weight));
  const bias = scope.parameter("bias", [rows], zeros);

  const seen = options.batchNorm ? batchNorm(scope, x, { affine: false, epsilon }) : x;
  const logits = op.reshape(project(seen, weight, bias), [batch, count, classes]);
  const answers = op.reshape(op.oneHot(y, classes), [batch, 1, classes]);
  // d(mean cross entropy of a head) / d(its logits) = (softmax - one-hot) / batch
  const error = op.div(op.sub(op.softmax(logits), answers), batch);
  const [dWeight, dBias] = vjp([[logits, error]], [weight, bias]) as [Value, Value];

  const perRow = (of: (head: HeadRates) => number) =>
    op.constant(
      tensor(
        "float32",
        [rows],
        Float32Array.from({ length: rows }, (_, i) => of(heads[Math.floor(i / classes)]!)),
      ),
    );
  const column = (value: Value) => op.reshape(value, [rows, 1]);
  const decay = perRow(({ weightDecay }) => weightDecay);
  const rate = op.mul(
    perRow(({ learningRate }) => learningRate),
    factor,
  );
  const decayedWeight = op.add(dWeight, op.mul(weight, column(decay)));
  // LARS leaves vectors alone, SGD decays them too, as PyTorch's does
  const [weightGradient, biasGradient] =
    optimizer === "lars"
      ? [op.mul(decayedWeight, column(trustRatio(weight, decayedWeight, count))), dBias]
      : [decayedWeight, op.add(dBias, op.mul(bias, decay))];

  const move = (name: string, value: Value, gradient: Value, rates: Value) => {
    let direction = gradient;
    if (momentum > 0) {
      const before = scope.buffer(`momentum.${name}`, value.shape, zeros);
      direction = op.add(op.mul(before, momentum), gradient);
      scope.update(`momentum.${name}`, direction);
    }
    scope.update(name, op.sub(value, op.mul(rates, direction)));
  };
  move("weight", weight, weightGradient, column(rate));
  move("bias", bias, biasGradient, rate);
  const outputs = Object.fromEntries([...scope.updates].map(([name, value]) => [`next.${name}`, value]));
  return { outputs, scope };
}

/** LARS: 0.001 ‖weight‖ / ‖gradient‖ of each head, 1 where either is 0: [heads · classes], the same for all rows of a head. */
function trustRatio(weight: Value, gradient: Value, heads: number): Value {
  const rows = weight.shape[0]!;
  const classes = rows / heads;
  const norm = (value: Value) => {
    const squares = op.reduceSum(op.mul(value, value), { axis: -1 });
    return op.sqrt(op.reduceSum(op.reshape(squares, [heads, classes]), { axis: -1, keepdims: true })); // [heads, 1]
  };
  const [size, length] = [norm(weight), norm(gradient)];
  const ratio = op.div(op.mul(size, 0.001), length);
  const defined = op.where(op.less(0, size), op.where(op.less(0, length), ratio, 1), 1);
  return op.reshape(op.expand(defined, [heads, classes]), [rows]);
}

/** Of `rowsAtOnce` rows: `hits` [heads], and `sums` [heads] of all logits, which are not finite if one of them is not. */
export function judgingGraph({ heads, classes, width, batchNorm: normalised }: HeadGridOptions) {
  const count = heads.length;
  const x = op.input("x", "float32", [rowsAtOnce, width]);
  const y = op.input("y", "int64", [rowsAtOnce]);
  const weight = op.input("weight", "float32", [count * classes, width]);
  const bias = op.input("bias", "float32", [count * classes]);
  const statistic = (name: string) => op.input(name, "float32", [width]);
  const seen = normalised
    ? op.div(op.sub(x, statistic("running_mean")), op.sqrt(op.add(statistic("running_var"), epsilon)))
    : x;
  const logits = op.reshape(project(seen, weight, bias), [rowsAtOnce, count, classes]);
  const answers = op.reshape(op.topK(logits, 1).indices, [rowsAtOnce, count]);
  const right = op.cast(op.equal(answers, op.reshape(y, [rowsAtOnce, 1])), "float32");
  return { hits: op.reduceSum(right, { axis: 0 }), sums: op.reduceSum(logits, { axis: [0, 2] }) };
}

/** The same values over and over. */
function tile(values: Float32Array): Initializer {
  return (shape) => Float32Array.from({ length: sizeOf(shape) }, (_, i) => values[i % values.length]!);
}
