/**
 * The gradient of an objective over a whole batch, in whatever pieces the batch comes. A loss that couples its samples
 * sees the encoded rows of all of them at once, so a batch in pieces has the gradient of a batch in one, batch normalisation
 * and every negative included, in the memory of a piece.
 */
import { sizeOf } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { accumulate, grad } from "../graph/grad.ts";
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import { compile, type Executable, type ExecutableOptions } from "../backend/executable.ts";
import type { Scope, Variable } from "../nn/scope.ts";
import type { TrainState } from "../backend/state.ts";
import { alone, type Collective } from "../collective/collective.ts";
import type { Objective, Values } from "../objectives/objective.ts";
import { mapValues, trace, traceParts } from "./graphs.ts";

/** The samples of a step by field: all of them, or whatever piece is asked for, [micro-batch, …]. */
export type Fields = Readonly<Record<string, Tensor>>;
export type Samples = Fields | ((piece: number) => Promise<Fields>);

/** How a batch is cut. */
export interface Pieces {
  readonly microBatch: number;
  /** Micro-batches of a step in this process. */
  readonly parts: number;
  /** How often each is needed: a loss over the whole batch comes between the forward and the backward pass. */
  readonly passes: 1 | 2;
}

/**
 * Cuts a batch over the processes of a job, and the share of each into equal micro-batches no larger than `microBatch`.
 * Throws when the processes cannot share it.
 */
export function cut({ coupled }: Objective, batch: number, microBatch: number, { size }: Collective): Pieces {
  const share = batch / size;
  if (!Number.isInteger(share))
    throw new Error(`a batch of ${batch} cannot be shared by ${size} processes: set batch to a multiple of ${size}`);
  let parts = Math.ceil(share / microBatch);
  while (share % parts !== 0) parts++;
  return { microBatch: share / parts, parts, passes: coupled && parts > 1 ? 2 : 1 };
}

export interface Gradient {
  readonly variables: readonly Variable[];
  /** Names of the parameters the loss depends on, less the frozen ones. */
  readonly trained: ReadonlySet<string>;
  /** Reads parameters from the state, adds gradients to those in it, and moves its buffers. */
  bind(state: TrainState): void;
  /**
   * Adds this process's part of the gradient of the mean loss: the sum over all processes is the gradient. Returns loss and
   * metrics of the whole batch by name. A function is asked for the pieces 0, 1, …, and with two passes for all of them
   * again, by numbers that go on.
   */
  add(samples: Samples): Promise<Map<string, number>>;
  /** Seconds that `add` would take, told from one micro-batch and the loss: a step of thousands of images is too long to try. */
  time(part: Fields): Promise<number>;
  release(): Promise<void>;
}

export interface GradientOptions {
  readonly pieces: Pieces;
  /** Which parameters get none. */
  isFrozen(name: string): boolean;
  /** Blocks keep only what enters them and are computed again in the backward pass (default: false). */
  readonly recompute?: boolean | undefined;
  readonly collective?: Collective | undefined;
  readonly executable?: ExecutableOptions | undefined;
}

export function createGradient(objective: Objective, options: GradientOptions): Promise<Gradient> {
  const { pieces, collective = alone } = options;
  return objective.coupled && pieces.parts * collective.size > 1
    ? wholeLoss(objective, options)
    : meanOfParts(objective, options);
}

/** One graph, run on part after part. */
async function meanOfParts(
  objective: Objective,
  { pieces: { microBatch, parts }, isFrozen, recompute = false, collective = alone, executable }: GradientOptions,
): Promise<Gradient> {
  const { scope, loss, metrics, trainable } = trace(objective, microBatch, { recompute });
  const targets = trainable.filter(({ name }) => !isFrozen(name));
  const derivatives = grad(
    op.mul(loss, 1 / (parts * collective.size)),
    targets.map(({ value }) => value),
  );
  const outputs = { ...results(scope, loss, metrics), ...sums(targets, derivatives) };
  const program = await compile(outputs, executable);
  return {
    variables: [...scope.variables.values()],
    trained: trainedOf(targets, derivatives),
    bind: (state) => bind(program, state),
    async add(samples) {
      const means = new Map<string, number>();
      for (let part = 0; part < parts; part++)
        for (const [name, value] of scalars(await program.run(await feedsOf(objective, samples, part, microBatch))))
          means.set(name, (means.get(name) ?? 0) + value / parts / collective.size);
      const values = Float64Array.from(means.values());
      collective.allReduceSum(values);
      return new Map([...means.keys()].map((name, i) => [name, values[i]!]));
    },
    async time(part) {
      return parts * (await secondsOf(() => program.run(named(part, "batch."))));
    },
    release: () => program.release(),
  };
}

/**
 * Three graphs: encode every part; the loss of all encoded rows, and its gradient with respect to them; from that, part
 * after part again, the gradient of what made them.
 */
async function wholeLoss(
  objective: Objective,
  {
    pieces: { microBatch, parts, passes },
    isFrozen,
    recompute = false,
    collective = alone,
    executable,
  }: GradientOptions,
): Promise<Gradient> {
  const { rank, size } = collective;
  const options = { microBatch, batch: microBatch * parts * size, isFrozen, recompute };
  const { scope, encoded, rows, loss, metrics, trainable, ofLoss, cotangents, ofRows } = traceParts(objective, options);
  const [names, needed] = [Object.keys(encoded), Object.keys(cotangents)];

  const encode = await compile(named(encoded, "encoded."), executable);
  // The loss is computed by every process; its gradient counts once.
  const ofHeads = rank === 0 ? sums(trainable, ofLoss) : {};
  const whole = await compile(
    { ...results(scope, loss, metrics), ...ofHeads, ...named(cotangents, "cotangent.") },
    executable,
  );
  // heads alone are trained where the encoder is frozen
  const backward = needed.length === 0 ? undefined : await compile(sums(trainable, ofRows), executable);
  const programs = [encode, whole, ...(backward === undefined ? [] : [backward])];
  const own = mapValues(encoded, ({ shape: [lead, ...rest] }) => tensor("float32", [lead! * parts, ...rest]));
  const all = size === 1 ? own : mapValues(rows, ({ shape }) => tensor("float32", shape));
  whole.bind({ inputs: named(all, "encoded.") });

  /** The rows of all processes, in the order of the batch. */
  function gather() {
    for (const name of size === 1 ? [] : names) {
      const { data, shape } = own[name]!;
      const byRank = new Float32Array(data.length * size);
      collective.allGather(data, byRank);
      for (let from = 0; from < size; from++) {
        const share = tensor("float32", shape, byRank.subarray(from * data.length, (from + 1) * data.length));
        copyPart(all[name]!, share, from, parts * microBatch, "in");
      }
    }
  }

  return {
    variables: [...scope.variables.values()],
    trained: new Set([...trainedOf(trainable, ofLoss), ...trainedOf(trainable, ofRows)]),
    bind: (state) => programs.forEach((program) => bind(program, state)),
    async add(samples) {
      let feeds: Record<string, Tensor> = {};
      for (let part = 0; part < parts; part++) {
        feeds = await feedsOf(objective, samples, part, microBatch);
        const found = await encode.run(feeds);
        for (const name of names) copyPart(own[name]!, found[`encoded.${name}`]!, part, microBatch, "in");
      }
      gather();
      const found = await whole.run();
      if (backward === undefined) return scalars(found);
      for (let part = 0; part < parts; part++) {
        if (passes === 2) feeds = await feedsOf(objective, samples, part, microBatch, parts);
        for (const name of needed) {
          const cotangent = tensor("float32", encoded[name]!.shape);
          copyPart(found[`cotangent.${name}`]!, cotangent, rank * parts + part, microBatch, "out");
          feeds[`cotangent.${name}`] = cotangent;
        }
        await backward.run(pick(feeds, backward));
      }
      return scalars(found);
    },
    async time(part) {
      const feeds = named(part, "batch.");
      const forward = await secondsOf(() => encode.run(feeds));
      const middle = await secondsOf(() => whole.run());
      if (backward === undefined) return parts * forward + middle;
      const zeros = needed.map((name) => [`cotangent.${name}`, tensor("float32", encoded[name]!.shape)] as const);
      const back = await secondsOf(() => backward.run(pick({ ...feeds, ...Object.fromEntries(zeros) }, backward)));
      return parts * (forward + back) + middle;
    },
    release: async () => void (await Promise.all(programs.map((program) => program.release()))),
  };
}

/** Scalars, and buffers in place. */
function results(scope: Scope, loss: Value, metrics: Values): Record<string, Value> {
  return { "metric.loss": loss, ...named(metrics, "metric."), ...named(Object.fromEntries(scope.updates), "update.") };
}

/** Sums of gradients in place. */
function sums(targets: readonly Variable[], derivatives: readonly (Value | undefined)[]): Record<string, Value> {
  const found = targets.flatMap(({ name }, i) => {
    const derivative = derivatives[i];
    if (derivative === undefined) return [];
    return [
      [`gradient.${name}`, accumulate((shape) => op.input(`sum.${name}`, "float32", shape), derivative)] as const,
    ];
  });
  return Object.fromEntries(found);
}

function trainedOf(targets: readonly Variable[], derivatives: readonly (Value | undefined)[]): Set<string> {
  return new Set(targets.filter((_, i) => derivatives[i] !== undefined).map(({ name }) => name));
}

/** Ties a graph to the state: what it reads of the parameters, gradients that it adds to, buffers that it moves. */
function bind(program: Executable, { entries }: TrainState) {
  const inputs: Record<string, Tensor> = {};
  const outputs: Record<string, Tensor> = {};
  const at = (name: string, array: "w" | "g", { shape }: { shape: readonly number[] }) =>
    tensor("float32", shape, entries.get(name)!.block.tensors[array]!.data);
  for (const [name, type] of program.inputs) {
    if (entries.has(name)) inputs[name] = at(name, "w", type);
    if (name.startsWith("sum.")) inputs[name] = at(name.slice("sum.".length), "g", type);
  }
  for (const [name, type] of program.outputs) {
    if (name.startsWith("update.")) outputs[name] = at(name.slice("update.".length), "w", type);
    if (name.startsWith("gradient.")) outputs[name] = at(name.slice("gradient.".length), "g", type);
  }
  program.bind({ inputs, outputs });
}

/** What the graph of a micro-batch is fed. `offset`: of the piece's number in the second pass. */
async function feedsOf(
  { fields }: Objective,
  samples: Samples,
  part: number,
  microBatch: number,
  offset = 0,
): Promise<Record<string, Tensor>> {
  const piece = typeof samples === "function" ? await samples(offset + part) : samples;
  const first = typeof samples === "function" ? 0 : part;
  const feeds: Record<string, Tensor> = {};
  for (const [name, shape] of Object.entries(fields)) {
    const field = piece[name];
    if (field === undefined) throw new Error(`the batch has no field ${name}`);
    const size = sizeOf(shape) * microBatch;
    const rows = field.data.subarray(first * size, (first + 1) * size) as Float32Array;
    feeds[`batch.${name}`] = tensor("float32", [microBatch, ...shape], rows);
  }
  return feeds;
}

/**
 * Copies the rows of a part into the whole or out of it. The leading axis counts samples, or view after view the samples
 * of each.
 */
function copyPart(whole: Tensor, part: Tensor, number: number, microBatch: number, way: "in" | "out") {
  const views = part.shape[0]! / microBatch;
  const stretch = part.data.length / views;
  const total = whole.data.length / views;
  const [all, own] = [whole.data as Float32Array, part.data as Float32Array];
  for (let view = 0; view < views; view++) {
    const start = view * total + number * stretch;
    if (way === "in") all.set(own.subarray(view * stretch, (view + 1) * stretch), start);
    else own.set(all.subarray(start, start + stretch), view * stretch);
  }
}

function scalars(found: Readonly<Record<string, Tensor>>): Map<string, number> {
  const metrics = Object.entries(found).filter(([name]) => name.startsWith("metric."));
  return new Map(metrics.map(([name, { data }]) => [name.slice("metric.".length), Number(data[0])]));
}

/** The feeds that the graph has inputs for. */
function pick(feeds: Fields, { inputs }: Executable): Fields {
  return Object.fromEntries(Object.entries(feeds).filter(([name]) => inputs.has(name)));
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

function named<T>(values: Readonly<Record<string, T>>, prefix: string): Record<string, T> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]));
}
