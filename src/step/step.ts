/** The training step: the gradient of an objective, followed by the optimizer. */
import type { Key } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { ExecutableOptions } from "../backend/executable.ts";
import { adamw, type AdamWOptions } from "../backend/adamw.ts";
import { type RateRule, type Treatment, treatment } from "../optim/groups.ts";
import { createState, type Pair, type TrainState } from "../backend/state.ts";
import { allReduceAll } from "../collective/buckets.ts";
import { alone, type Collective } from "../collective/collective.ts";
import type { Objective } from "../objectives/objective.ts";
import { createGradient, cut, type Fields, type Pieces, type Samples } from "./gradient.ts";
import { trainableOf } from "./graphs.ts";

export interface StepOptions {
  readonly batch: number;
  /** At most so many samples per run of the graph. */
  readonly microBatch: number;
  readonly rules: readonly RateRule[];
  readonly optimizer: AdamWOptions;
  /** Largest Euclidean norm of the whole gradient; longer ones are scaled down. Default: none. */
  readonly clip?: number;
  /** Root of the initial values. */
  readonly key: Key;
  readonly executable?: ExecutableOptions;
  /** Spares memory at the cost of a second forward pass; see `GradientOptions`. */
  readonly recompute?: boolean;
  /** The processes that share the batch; every one of them takes every step. Default: this one alone. */
  readonly collective?: Collective;
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
  /** The samples of a step may be given piece by piece, as `Gradient.add` asks for them. */
  readonly pieces: Pieces;
  /** Makes followers equal to what they follow: at the start of a stage, after its weights are in place. */
  copyFollowers(): void;
  /** Moves the momentum followers once; `run` does it first. */
  moveFollowers(progress: number): void;
  /**
   * Followers, gradient, update. `number` counts steps from 1 (for Adam), `rate` is the learning rate, `progress` the
   * share of the stage done. A loss or gradient that is not finite throws `NonFiniteError` and leaves all weights alone.
   */
  run(
    samples: Samples,
    at: { readonly number: number; readonly rate: number; readonly progress: number },
  ): Promise<StepResult>;
  /** Moves the trained weights by the gradient that the state holds, times `scale`, and clears it; `run` does it last. */
  update(at: { readonly number: number; readonly rate: number; readonly scale?: number }): void;
  /** The loss and its gradient by parameter name, without an update: copies. */
  gradients(samples: Samples): Promise<{ loss: number; gradients: Map<string, Tensor> }>;
  /** Seconds of a step without its update, told from one micro-batch. */
  time(part: Fields): Promise<number>;
  release(): Promise<void>;
}

export class NonFiniteError extends Error {}

export async function createStep(objective: Objective, options: StepOptions): Promise<Step> {
  const { batch, microBatch, rules, optimizer, clip, key, executable, recompute, collective = alone } = options;
  const pieces = cut(objective, batch, microBatch, collective);
  const isFrozen = (name: string) => treatment(rules, name).frozen;
  const gradient = await createGradient(objective, { pieces, isFrozen, recompute, collective, executable });
  const { variables, trained } = gradient;
  const followers = objective.followers ?? [];
  const treatments = new Map<string, Treatment>();
  for (const { name, shape } of trainableOf(objective, variables)) {
    const rule = treatment(rules, name);
    treatments.set(name, { ...rule, decay: rule.decay && shape.length > 1 });
  }

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
  gradient.bind(state);

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

  /** The gradient of the whole batch, in every process. */
  async function backward(samples: Samples): Promise<Map<string, number>> {
    const means = await gradient.add(samples);
    allReduceAll(
      collective,
      trainedEntries.map(({ block }) => block.tensors["g"]!.data),
    );
    return means;
  }

  const update: Step["update"] = ({ number, rate, scale = 1 }) => {
    for (const { variable, block } of trainedEntries) {
      const { rate: factor, decay } = treatments.get(variable.name)!;
      adamw(block, optimizer, { step: number, rate: rate * factor, decay, scale });
    }
  };

  return {
    state,
    treatments,
    pieces,
    copyFollowers() {
      for (const { source, target } of copies) {
        const from = state.entries.get(source);
        if (from === undefined) throw new Error(`${target} should follow ${source}, which does not exist`);
        state.entries.get(target)!.block.tensors["w"]!.data.set(from.block.tensors["w"]!.data);
      }
    },
    moveFollowers,
    update,
    async run(samples, { number, rate, progress }) {
      moveFollowers(progress);
      const means = await backward(samples);
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
      update({ number, rate, scale });
      means.delete("loss");
      return { loss: lossValue, gradientNorm, metrics: Object.fromEntries(means) };
    },
    async gradients(samples) {
      clearGradients();
      const means = await backward(samples);
      const copy = ({ dtype, shape, data }: Tensor<"float32">) => tensor(dtype, shape, data.slice());
      const gradients = new Map(
        trainedEntries.map(({ variable, block }) => [variable.name, copy(block.tensors["g"]!)] as const),
      );
      clearGradients();
      return { loss: means.get("loss")!, gradients };
    },
    async time(part) {
      const seconds = await gradient.time(part);
      clearGradients();
      return seconds;
    },
    release: () => gradient.release(),
  };
}
