/**
 * The gradient of an objective over a whole batch, in whatever micro-batches it comes. A loss that couples its samples
 * sees the encoded rows of all of them at once, so a batch in micro-batches has the gradient of a batch in one, batch
 * normalisation and every negative included, in the memory of a micro-batch. This is gradient caching (GradCache: Gao,
 * Zhang, Han and Callan, "Scaling deep contrastive learning batch size under memory limited setup", 2021), over processes
 * and for losses with layers of their own.
 */
import type { Tensor } from "../tensor/tensor.ts";
import { accumulate, grad } from "../graph/grad.ts";
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import type { Backend, State } from "../backend/backend.ts";
import type { Scope, Variable } from "../nn/scope.ts";
import type { Collective } from "../collective/collective.ts";
import type { Objective, Values } from "../objectives/objective.ts";
import { trace, type TraceOptions, traceParts } from "./graphs.ts";
import { cachedPart, type Fields, type MicroBatches, microBatchOf, type Samples } from "./micro-batches.ts";
import { compileProgram, port, type Results } from "./ports.ts";
import { deviceRows, hostRows } from "./rows.ts";

export interface Gradient {
  readonly variables: readonly Variable[];
  /** Names of the parameters the loss depends on, less the frozen ones. */
  readonly trained: ReadonlySet<string>;
  /** Reads parameters from the state, adds gradients to those in it, and moves its buffers. */
  bind(state: State): void;
  /**
   * Adds this process's part of the gradient of the mean loss: the sum over all processes is the gradient. Returns loss and
   * metrics of the whole batch by name. A function is asked for the micro-batches 0, 1, …, and with two passes for all of
   * them again, by numbers that go on. `scalars`: the objective's schedules as they stand. `short`: without the gradient of
   * the lazy parameters, and without the backward pass to them.
   */
  add(samples: Samples, scalars: Fields, short?: boolean): Promise<Map<string, number>>;
  /** Seconds that `add` would take, told from one micro-batch and the loss: a step of thousands of images is too long to try. */
  time(microBatch: Fields, scalars: Fields, short?: boolean): Promise<number>;
  release(): Promise<void>;
}

export interface GradientOptions {
  readonly backend: Backend;
  readonly microBatches: MicroBatches;
  /** Which parameters get none. */
  isFrozen(name: string): boolean;
  /** Which get none in short steps (default: none are lazy). */
  isLazy?(name: string): boolean;
  /** Blocks keep only what enters them and are computed again in the backward pass (default: false). */
  readonly recompute?: boolean | undefined;
  readonly collective: Collective;
  /** Copies equal their sources at first, so that what is frozen need not be computed twice (default: false). */
  readonly equalCopies?: boolean | undefined;
}

export function createGradient(objective: Objective, options: GradientOptions): Promise<Gradient> {
  const { backend, microBatches, isFrozen, recompute, collective, equalCopies = false } = options;
  const tracing = {
    recompute,
    part: cachedPart(backend, objective, microBatches.size),
    isConstant: equalCopies ? isFrozen : undefined,
  };
  return objective.coupled && microBatches.count * collective.size > 1
    ? wholeLoss(objective, options, tracing)
    : meanOfMicroBatches(objective, options, tracing);
}

/** One graph, run on micro-batch after micro-batch. */
async function meanOfMicroBatches(
  objective: Objective,
  { backend, microBatches: { size, count }, isFrozen, isLazy = noneIs, collective }: GradientOptions,
  tracing: TraceOptions,
): Promise<Gradient> {
  const { scope, loss, metrics, trainable } = trace(objective, size, tracing);
  const share = op.mul(loss, 1 / (count * collective.size));
  /** The step that trains `targets`. */
  const compileFor = async (targets: readonly Variable[]) => {
    const derivatives = grad(
      share,
      targets.map(({ value }) => value),
    );
    const gradient = sums(targets, derivatives);
    const program = await compileProgram(backend, { ...results(scope, loss, metrics), gradient });
    return { program, trained: trainedOf(targets, derivatives) };
  };
  const targets = trainable.filter(({ name }) => !isFrozen(name));
  const awake = targets.filter(({ name }) => !isLazy(name));
  const { program: long, trained } = await compileFor(targets);
  const short = awake.length === targets.length ? long : (await compileFor(awake)).program;
  const programs = [...new Set([long, short])];
  return {
    variables: [...scope.variables.values()],
    trained,
    bind: (state) => programs.forEach((program) => program.bind(state)),
    async add(samples, scalar, isShort = false) {
      const program = isShort ? short : long;
      const means = new Map<string, number>();
      for (let i = 0; i < count; i++) {
        const found = await program.run({ batch: await microBatchOf(objective, samples, i, size), scalar });
        for (const [name, value] of metricsIn(found))
          means.set(name, (means.get(name) ?? 0) + value / count / collective.size);
      }
      const values = Float64Array.from(means.values());
      collective.allReduceSum(values);
      return new Map([...means.keys()].map((name, i) => [name, values[i]!]));
    },
    async time(batch, scalar, isShort = false) {
      return count * (await secondsOf(() => (isShort ? short : long).run({ batch, scalar })));
    },
    release: async () => void (await Promise.all(programs.map((program) => program.release()))),
  };
}

/**
 * Three graphs: encode every micro-batch; the loss of all encoded rows, and its gradient with respect to them; from that,
 * micro-batch by micro-batch again, the gradient of what made them.
 */
async function wholeLoss(
  objective: Objective,
  { backend, microBatches: { size, count, passes }, isFrozen, isLazy = noneIs, collective }: GradientOptions,
  tracing: TraceOptions,
): Promise<Gradient> {
  const { rank, size: ranks } = collective;
  const options = { ...tracing, microBatch: size, batch: size * count * ranks, isFrozen };
  const { scope, encoded, loss, metrics, trainable, ofLoss, cotangents, ofRows } = traceParts(objective, options);
  const needed = Object.keys(cotangents);

  const rowsOptions = { microBatches: { size, count, passes }, collective, encoded, needed };
  const { place } = backend;
  const staysOnDevice = place !== undefined && ranks === 1;
  const kept = staysOnDevice ? await deviceRows({ ...backend, place }, rowsOptions) : hostRows(rowsOptions);

  const encode = await compileProgram(backend, { encoded }, staysOnDevice ? ["encoded"] : []);
  // The loss is computed by every process; its gradient counts once.
  const ofHeads = rank === 0 ? sums(trainable, ofLoss) : {};
  const compileLoss = (gradient: Values) =>
    compileProgram(
      backend,
      { ...results(scope, loss, metrics), gradient, cotangent: cotangents },
      staysOnDevice ? ["cotangent"] : [],
    );
  // heads alone are trained where the encoder is frozen
  const compileBackward = async (gradient: Values) =>
    Object.keys(gradient).length === 0 ? undefined : compileProgram(backend, { gradient });
  const long = { whole: await compileLoss(ofHeads), backward: await compileBackward(sums(trainable, ofRows)) };
  let short = long;
  if (trainable.some(({ name }) => isLazy(name))) {
    const { trainable: awake, ofRows: ofAwake } = traceParts(objective, {
      ...options,
      isFrozen: (name) => isFrozen(name) || isLazy(name),
    });
    // The loss itself has a gradient of lazy parameters where an anchor holds them.
    const ofAwakeHeads = Object.fromEntries(Object.entries(ofHeads).filter(([name]) => !isLazy(name)));
    const isSame = Object.keys(ofAwakeHeads).length === Object.keys(ofHeads).length;
    short = {
      whole: isSame ? long.whole : await compileLoss(ofAwakeHeads),
      backward: await compileBackward(sums(awake, ofAwake)),
    };
  }
  const all = [encode, long.whole, long.backward, short.whole, short.backward];
  const programs = [...new Set(all)].filter((program) => program !== undefined);

  return {
    variables: [...scope.variables.values()],
    trained: new Set([...trainedOf(trainable, ofLoss), ...trainedOf(trainable, ofRows)]),
    bind: (state) => programs.forEach((program) => program.bind(state)),
    async add(samples, scalar, isShort = false) {
      const { whole, backward } = isShort ? short : long;
      let batch: Fields = {};
      for (let i = 0; i < count; i++) {
        batch = await microBatchOf(objective, samples, i, size);
        await kept.encode(encode, i, { batch, scalar });
      }
      await kept.gather();
      const found = await kept.lose(whole, { scalar });
      if (backward === undefined) return metricsIn(found);
      for (let i = 0; i < count; i++) {
        if (passes === 2) batch = await microBatchOf(objective, samples, i, size, count);
        await backward.run({ batch, scalar, cotangent: await kept.cotangents(found, i) });
      }
      return metricsIn(found);
    },
    async time(batch, scalar, isShort = false) {
      const { whole, backward } = isShort ? short : long;
      const forward = await secondsOf(() => kept.encode(encode, 0, { batch, scalar }));
      // On a device nothing can be read before it is written. On the host rows are there, and no process waits for others.
      if (staysOnDevice) {
        for (let i = 1; i < count; i++) await kept.encode(encode, i, { batch, scalar });
        await kept.gather();
      }
      const start = performance.now();
      const found = await kept.lose(whole, { scalar });
      const middle = (performance.now() - start) / 1000;
      if (backward === undefined) return count * forward + middle;
      const cotangent = await kept.cotangents(found, 0);
      const back = await secondsOf(() => backward.run({ batch, scalar, cotangent }));
      return count * (forward + back) + middle;
    },
    async release() {
      await kept.release();
      await Promise.all(programs.map((program) => program.release()));
    },
  };
}

const noneIs = () => false;

/** Scalars, and buffers in place. */
function results(scope: Scope, loss: Value, metrics: Values) {
  return { metric: { loss, ...metrics }, update: Object.fromEntries(scope.updates) };
}

/** Sums of gradients in place. */
function sums(targets: readonly Variable[], derivatives: readonly (Value | undefined)[]): Values {
  const found = targets.flatMap(({ name }, i) => {
    const derivative = derivatives[i];
    return derivative === undefined
      ? []
      : [[name, accumulate((shape) => port("sum", name, shape), derivative)] as const];
  });
  return Object.fromEntries(found);
}

function trainedOf(targets: readonly Variable[], derivatives: readonly (Value | undefined)[]): Set<string> {
  return new Set(targets.filter((_, i) => derivatives[i] !== undefined).map(({ name }) => name));
}

function metricsIn({ metric }: Results): Map<string, number> {
  return new Map(Object.entries<Tensor>(metric).map(([name, { data }]) => [name, Number(data[0])]));
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
