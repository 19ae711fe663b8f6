/** The training step: the gradient of an objective, followed by the optimizer. */
import type { Key } from "../tensor/random.ts";
import { sizeOf } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { AdamWOptions, Backend, State } from "../backend/backend.ts";
import { variableKey } from "../nn/init.ts";
import type { Variable } from "../nn/scope.ts";
import { everyOf, isLazy, meanStep, type RateRule, type Treatment, treatment } from "../optim/groups.ts";
import { allReduceAll } from "../collective/buckets.ts";
import { alone, type Collective } from "../collective/collective.ts";
import type { Objective } from "../objectives/objective.ts";
import { moveCopies, pairsOf } from "./copies.ts";
import { createGradient } from "./gradient.ts";
import { mapValues, trainableOf } from "./graphs.ts";
import { cut, type Fields, type MicroBatches, type Samples } from "./micro-batches.ts";

export interface StepOptions {
  /** Where the step runs and its state lies. */
  readonly backend: Backend;
  readonly batch: number;
  /** At most so many samples per run of the graph. */
  readonly microBatch: number;
  readonly rules: readonly RateRule[];
  readonly optimizer: AdamWOptions;
  /** Largest Euclidean norm of the whole gradient; longer ones are scaled down. Default: none. */
  readonly clip?: number | undefined;
  /** Root of the initial values. */
  readonly key: Key;
  /** Spares memory at the cost of a second forward pass; see `GradientOptions`. */
  readonly recompute?: boolean | undefined;
  /**
   * Copies equal their sources when the first step is taken (`resetCopies`), so that what is frozen is computed once for
   * both (default: they may have values of their own).
   */
  readonly equalCopies?: boolean;
  /** The processes that share the batch; every one of them takes every step. Default: this one alone. */
  readonly collective?: Collective;
}

export interface StepResult {
  readonly loss: number;
  readonly gradientNorm: number;
  readonly metrics: Readonly<Record<string, number>>;
}

export interface Step {
  readonly backend: Backend;
  readonly state: State;
  readonly treatments: ReadonlyMap<string, Treatment>;
  readonly microBatches: MicroBatches;
  /**
   * Lazy parameters are trained in the steps whose number is a multiple of this, at as many times the rate; the steps between
   * are short. 1 where there are none.
   */
  readonly every: number;
  /** Makes copies equal to what they are copies of: at the start of a stage, after its weights are in place. */
  resetCopies(): Promise<void>;
  /** Moves the momentum copies once; `run` does it first. `progress`: share of the stage done. */
  moveCopies(progress: number): Promise<void>;
  /**
   * Copies, gradient, update. `number` counts steps from 1 (for Adam), `rate` is the learning rate, `progress` the share of
   * the stage done. The samples may be given micro-batch by micro-batch, as `Gradient.add` asks for them. A loss or gradient
   * that is not finite throws `NonFiniteError` and leaves all trained weights alone.
   */
  run(
    samples: Samples,
    at: { readonly number: number; readonly rate: number; readonly progress: number },
  ): Promise<StepResult>;
  /** Moves the weights that step `number` trains by the gradient that the state holds, times `scale`, and clears it; `run` does it last. */
  update(at: { readonly number: number; readonly rate: number; readonly scale?: number }): Promise<void>;
  /** The loss and its gradient by parameter name, lazy ones too, without an update: copies. `progress` as in `run` (default 0). */
  gradients(samples: Samples, progress?: number): Promise<{ loss: number; gradients: Map<string, Tensor> }>;
  /** Seconds of a step without its update, told from one micro-batch; the mean of short and long ones. */
  time(microBatch: Fields): Promise<number>;
  release(): Promise<void>;
}

export class NonFiniteError extends Error {}

/** Compiles the step of an objective and fills its variables with their initial values. */
export async function createStep(objective: Objective, options: StepOptions): Promise<Step> {
  const {
    backend,
    batch,
    microBatch,
    rules,
    optimizer,
    clip,
    key,
    recompute,
    equalCopies,
    collective = alone,
  } = options;
  const microBatches = cut(objective, batch, microBatch, collective);
  const asked = everyOf(rules);
  const isFrozen = (name: string) => treatment(rules, name).frozen;
  const gradient = await createGradient(objective, {
    backend,
    microBatches,
    isFrozen,
    isLazy: (name) => isLazy(rules, name),
    recompute,
    equalCopies,
    collective,
  });
  const { variables, trained } = gradient;
  const treatments = treatmentsOf(objective, variables, rules);
  const lazy = new Set([...trained].filter((name) => isLazy(rules, name)));
  const awake = new Set([...trained].filter((name) => !lazy.has(name)));
  const every = lazy.size === 0 ? 1 : asked;
  const isShort = (number: number) => number % every !== 0;
  const copies = pairsOf(objective, variables);
  const averaged = copies.flatMap(({ momentum, pairs }) => (momentum === undefined ? [] : pairs));
  const state = await backend.allocate({ variables, trained, averaged, optimizer });
  await writeInitialValues(state, key);
  gradient.bind(state);

  /** The gradient of the whole batch, in every process. */
  async function backward(samples: Samples, progress: number, short = false): Promise<Map<string, number>> {
    const means = await gradient.add(samples, scalarsAt(objective, progress), short);
    if (collective.size === 1) return means;
    const gradients = await state.readGradients(short ? awake : trained);
    allReduceAll(
      collective,
      [...gradients.values()].map(({ data }) => data),
    );
    await state.writeGradients(gradients);
    return means;
  }

  const update: Step["update"] = async ({ number, rate, scale = 1 }) => {
    await state.update({ step: number, rate, scale, treatments, names: awake });
    // Adam corrects its moments by the number of updates that made them.
    if (lazy.size > 0 && !isShort(number))
      await state.update({ step: number / every, rate: rate * every, scale, treatments, names: lazy });
  };

  return {
    backend,
    state,
    treatments,
    microBatches,
    every,
    resetCopies: () => state.copy(copies.flatMap(({ pairs }) => pairs)),
    moveCopies: (progress) => moveCopies(state, copies, progress),
    update,
    async run(samples, { number, rate, progress }) {
      await moveCopies(state, copies, progress);
      const means = await backward(samples, progress, isShort(number));
      // of what this step trains: what it does not has a gradient of zeros
      const gradientNorm = await state.gradientNorm();
      const loss = means.get("loss")!;
      if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
        await state.zeroGradients();
        const what = Number.isFinite(loss) ? "gradient" : "loss";
        throw new NonFiniteError(`the ${what} is not finite (loss ${loss}, gradient norm ${gradientNorm})`);
      }
      const scale = clip === undefined || gradientNorm <= clip ? 1 : clip / gradientNorm;
      await update({ number, rate, scale });
      means.delete("loss");
      return { loss, gradientNorm, metrics: Object.fromEntries(means) };
    },
    async gradients(samples, progress = 0) {
      await state.zeroGradients();
      const means = await backward(samples, progress);
      const found = [...(await state.readGradients())].map(
        ([name, { shape, data }]) => [name, tensor("float32", shape, data.slice())] as const,
      );
      await state.zeroGradients();
      return { loss: means.get("loss")!, gradients: new Map(found) };
    },
    async time(microBatch) {
      const scalars = scalarsAt(objective, 0);
      const long = await gradient.time(microBatch, scalars);
      const short = lazy.size === 0 ? long : await gradient.time(microBatch, scalars, true);
      await state.zeroGradients();
      return meanStep(every, long, short);
    },
    async release() {
      await state.release(); // first: a device frees a tensor with the session that made it
      await gradient.release();
    },
  };
}

/** Copies of all variables as they are. */
export async function snapshot(state: State): Promise<Map<string, Tensor<"float32">>> {
  const copies = [...(await state.read())].map(
    ([name, { shape, data }]) => [name, tensor("float32", shape, data.slice())] as const,
  );
  return new Map(copies);
}

/** Numbers that are drawn before they are handed over: many small variables together, and no second copy of a large model. */
const drawnAtOnce = 2 ** 24;

async function writeInitialValues(state: State, key: Key): Promise<void> {
  let [drawn, numbers] = [new Map<string, Tensor>(), 0];
  for (const { name, shape, init } of state.variables.values()) {
    drawn.set(name, tensor("float32", shape, init(shape, variableKey(key, name))));
    numbers += sizeOf(shape);
    if (numbers < drawnAtOnce) continue;
    await state.write(drawn);
    [drawn, numbers] = [new Map(), 0];
  }
  await state.write(drawn);
}

/** How every parameter is treated that may be trained. One-dimensional ones do not decay. */
function treatmentsOf(objective: Objective, variables: readonly Variable[], rules: readonly RateRule[]) {
  const found = trainableOf(objective, variables).map(({ name, shape }) => {
    const rule = treatment(rules, name);
    return [name, { ...rule, decay: rule.decay && shape.length > 1 }] as const;
  });
  return new Map<string, Treatment>(found);
}

/** The objective's schedules at a moment, as inputs of its graphs. */
function scalarsAt({ schedules = {} }: Objective, progress: number): Fields {
  return mapValues(schedules, (schedule) => tensor("float32", [], Float32Array.of(schedule(progress))));
}
