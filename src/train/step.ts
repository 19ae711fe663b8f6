/** The training step: an objective, differentiated, compiled and followed by the optimizer. */
import { sizeOf } from "../tensor/shape.ts";
import type { Key } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { accumulate, grad } from "../graph/grad.ts";
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import { compile, type ExecutableOptions } from "../onnx/executable.ts";
import { Scope } from "../nn/scope.ts";
import { adamw, type AdamWOptions } from "../optim/adamw.ts";
import { type RateRule, type Treatment, treatment } from "../optim/groups.ts";
import { createState, type Pair, type TrainState } from "../optim/state.ts";
import type { Objective } from "../objectives/objective.ts";

export interface StepOptions {
  readonly batch: number;
  /** Samples per run of the graph; divides the batch. A coupled objective needs the whole batch in one run. */
  readonly microBatch: number;
  readonly rules: readonly RateRule[];
  readonly optimizer: AdamWOptions;
  /** Largest Euclidean norm of the whole gradient; longer ones are scaled down. Default: none. */
  readonly clip?: number;
  /** Root of the initial values. */
  readonly key: Key;
  readonly executable?: ExecutableOptions;
}

/** The largest micro-batch of about 1,500 rows (images × tokens), which keep the activations in cache. */
export function microBatchFor(batch: number, rowsPerImage: number): number {
  const sizes = Array.from({ length: batch }, (_, i) => i + 1).filter((size) => batch % size === 0);
  return sizes.findLast((size) => size * rowsPerImage <= 2000) ?? 1;
}

export interface StepResult {
  readonly loss: number;
  readonly gradientNorm: number;
  readonly metrics: Readonly<Record<string, number>>;
}

export interface Step {
  readonly state: TrainState;
  readonly treatments: ReadonlyMap<string, Treatment>;
  /** Makes followers equal to what they follow: at the start of a stage, after its weights are in place. */
  copyFollowers(): void;
  /** Moves the momentum followers once; `run` does it first. */
  moveFollowers(progress: number): void;
  /**
   * Followers, gradient, update. `number` counts steps from 1 (for Adam), `rate` is the learning rate, `progress` the
   * share of the stage done. A loss or gradient that is not finite throws `NonFiniteError` and leaves all weights alone.
   */
  run(
    batch: Readonly<Record<string, Tensor>>,
    at: { readonly number: number; readonly rate: number; readonly progress: number },
  ): Promise<StepResult>;
  /** The loss and its gradient by parameter name, without an update: copies. */
  gradients(batch: Readonly<Record<string, Tensor>>): Promise<{ loss: number; gradients: Map<string, Tensor> }>;
  release(): Promise<void>;
}

export class NonFiniteError extends Error {}

/** The graph of an objective on `batch` samples, before it is differentiated; `trainable` may have a gradient. */
export function trace(objective: Objective, batch: number) {
  const scope = new Scope();
  const fields = Object.fromEntries(
    Object.entries(objective.fields).map(([name, shape]) => [
      name,
      op.input(`batch.${name}`, "float32", [batch, ...shape]),
    ]),
  );
  const { loss, metrics = {} } = objective.loss(scope, objective.encode(scope, fields));
  const follows = (name: string) => objective.followers?.some(({ target }) => name.startsWith(target)) ?? false;
  const trainable = [...scope.variables.values()].filter(({ name, role }) => role === "parameter" && !follows(name));
  return { scope, loss, metrics, trainable };
}

export async function createStep(objective: Objective, options: StepOptions): Promise<Step> {
  const { batch, microBatch, rules, optimizer, clip, key, executable } = options;
  const parts = batch / microBatch;
  if (!Number.isInteger(parts))
    throw new Error(`the micro-batch must divide the batch, but ${batch} is not a multiple of ${microBatch}`);
  if (objective.coupled && parts !== 1)
    throw new Error(`this objective couples the samples of a batch: its micro-batch must be the batch, ${batch}`);

  const { scope, loss, metrics, trainable } = trace(objective, microBatch);
  const variables = [...scope.variables.values()];
  const followers = objective.followers ?? [];
  const treatments = new Map<string, Treatment>();
  for (const { name, shape } of trainable) {
    const rule = treatment(rules, name);
    treatments.set(name, { ...rule, decay: rule.decay && shape.length > 1 });
  }
  const targets = variables.filter(({ name }) => treatments.get(name)?.frozen === false);
  const derivatives = grad(
    op.mul(loss, 1 / parts),
    targets.map(({ value }) => value),
  );
  const trained = new Set(targets.filter((_, i) => derivatives[i] !== undefined).map(({ name }) => name));

  // Outputs: sums of gradients in place, buffers in place, scalars.
  const outputs: Record<string, Value> = { "metric.loss": loss };
  for (const [name, value] of Object.entries(metrics)) outputs[`metric.${name}`] = value;
  for (const [name, value] of scope.updates) outputs[`update.${name}`] = value;
  const sums = new Map<string, Value>();
  for (const [i, { name }] of targets.entries()) {
    const derivative = derivatives[i];
    if (derivative === undefined) continue;
    outputs[`gradient.${name}`] = accumulate((shape) => {
      const sum = op.input(`sum.${name}`, "float32", shape);
      sums.set(name, sum);
      return sum;
    }, derivative);
  }
  const program = await compile(outputs, executable);

  const pairs: Pair[] = [];
  const copies: Pair[] = [];
  for (const { name } of variables)
    for (const { source, target, momentum } of followers)
      if (name.startsWith(target)) {
        const pair = { source: source + name.slice(target.length), target: name };
        copies.push(pair);
        if (momentum !== undefined) pairs.push(pair);
      }
  const state = await createState(variables, ({ name }) => trained.has(name), pairs, key);
  const arrays = (name: string) => state.entries.get(name)!.block.tensors;

  const inputs: Record<string, Tensor> = {};
  const places: Record<string, Tensor> = {};
  for (const name of program.inputs.keys()) if (state.entries.has(name)) inputs[name] = arrays(name)["w"]!;
  for (const name of scope.updates.keys()) places[`update.${name}`] = arrays(name)["w"]!;
  for (const [name, sum] of sums) {
    const { data } = arrays(name)["g"]!;
    inputs[`sum.${name}`] = tensor("float32", sum.shape, data);
    places[`gradient.${name}`] = tensor("float32", outputs[`gradient.${name}`]!.shape, data);
  }
  program.bind({ inputs, outputs: places });

  /** Adds the gradient of the batch to the sums; returns the means of the metrics. */
  async function backward(values: Readonly<Record<string, Tensor>>): Promise<Map<string, number>> {
    const means = new Map<string, number>();
    for (let part = 0; part < parts; part++) {
      const feeds: Record<string, Tensor> = {};
      for (const [name, shape] of Object.entries(objective.fields)) {
        const field = values[name];
        if (field === undefined) throw new Error(`the batch has no field ${name}`);
        const size = sizeOf(shape) * microBatch;
        const rows = field.data.subarray(part * size, (part + 1) * size) as Float32Array;
        feeds[`batch.${name}`] = tensor("float32", [microBatch, ...shape], rows);
      }
      for (const [name, { data }] of Object.entries(await program.run(feeds)))
        means.set(name.replace("metric.", ""), (means.get(name.replace("metric.", "")) ?? 0) + Number(data[0]) / parts);
    }
    return means;
  }

  function moveFollowers(progress: number) {
    for (const { source, target, momentum } of followers) {
      if (momentum === undefined) continue;
      const factor = momentum(progress);
      for (const pair of pairs) {
        if (!pair.target.startsWith(target) || !pair.source.startsWith(source)) continue;
        const { variable, block } = state.entries.get(pair.source)!;
        if (variable.role !== "parameter") continue;
        block.kernel.average(block.pointers["f"]!, block.pointers["w"]!, block.length, factor);
      }
    }
  }

  const trainedEntries = [...state.entries.values()].filter((entry) => entry.trained);
  const clearGradients = () => trainedEntries.forEach(({ block }) => block.tensors["g"]!.data.fill(0));

  return {
    state,
    treatments,
    copyFollowers() {
      for (const { source, target } of copies) {
        const from = state.entries.get(source);
        if (from === undefined) throw new Error(`${target} should follow ${source}, which does not exist`);
        arrays(target)["w"]!.data.set(from.block.tensors["w"]!.data);
      }
    },
    moveFollowers,
    async run(values, { number, rate, progress }) {
      moveFollowers(progress);
      const means = await backward(values);
      let squares = 0;
      for (const { block } of trainedEntries) squares += block.kernel.sumOfSquares(block.pointers["g"]!, block.length);
      const gradientNorm = Math.sqrt(squares);
      const lossValue = means.get("loss")!;
      if (!Number.isFinite(lossValue) || !Number.isFinite(gradientNorm)) {
        clearGradients();
        const what = Number.isFinite(lossValue) ? "gradient" : "loss";
        throw new NonFiniteError(`the ${what} is not finite (loss ${lossValue}, gradient norm ${gradientNorm})`);
      }
      const scale = clip === undefined || gradientNorm <= clip ? 1 : clip / gradientNorm;
      for (const { variable, block } of trainedEntries) {
        const { rate: factor, decay } = treatments.get(variable.name)!;
        adamw(block, optimizer, { step: number, rate: rate * factor, decay, scale });
      }
      means.delete("loss");
      return { loss: lossValue, gradientNorm, metrics: Object.fromEntries(means) };
    },
    async gradients(values) {
      clearGradients();
      const means = await backward(values);
      const copy = ({ dtype, shape, data }: Tensor<"float32">) => tensor(dtype, shape, data.slice());
      const gradients = new Map(
        trainedEntries.map(({ variable, block }) => [variable.name, copy(block.tensors["g"]!)] as const),
      );
      clearGradients();
      return { loss: means.get("loss")!, gradients };
    },
    release: () => program.release(),
  };
}
