/** How much computing and memory training takes, by counting on the graph: to plan and to give equal budgets, not to tell seconds. */
import { bytesOf } from "../tensor/dtype.ts";
import { sizeOf } from "../tensor/shape.ts";
import { mostAlive } from "../graph/alive.ts";
import { grad } from "../graph/grad.ts";
import { reachable, type Value } from "../graph/value.ts";
import type { Variable } from "../nn/scope.ts";
import { backbonePattern } from "../nn/vit.ts";
import { everyOf, isLazy, meanStep, treatment } from "../optim/groups.ts";
import { batchesAhead } from "../data/batches/worker-pool.ts";
import { bucketFloats } from "../collective/buckets.ts";
import { alone } from "../collective/collective.ts";
import type { Values } from "../objectives/objective.ts";
import type { Message } from "./communication.ts";
import { cut } from "../step/micro-batches.ts";
import { trace, traceParts } from "../step/graphs.ts";
import type { ResolvedStage } from "../recipe/stage.ts";

/**
 * Floating-point operations of a stage per image: those of the matrix products in its step, forward and backward, with two
 * for each multiplication and its addition. Layers that the recipe freezes are counted as if they were trained.
 */
export function imageWork({ objective }: Pick<ResolvedStage, "objective">): number {
  const batch = 2; // the comparison of the images of a larger one costs next to nothing
  const { loss, trainable } = trace(objective, batch);
  return operations([loss, ...known(grad(loss, trainable.map(valueOf)))]) / batch;
}

/** A stage as it is trained by `processes` that share every batch; sizes in bytes are those of one process. */
export interface StageWork {
  /** Images of a run of the graph, after the batch has been cut into equal ones. */
  readonly microBatch: number;
  /** Numbers: the encoder's with its position table, and `trained`, which a step changes. */
  readonly parameters: {
    readonly encoder: number;
    readonly decoder: number;
    readonly heads: number;
    readonly trained: number;
  };
  /**
   * Of the matrix products, two for each multiplication and its addition; frozen layers have no backward pass, and lazy ones
   * have it in one of so many steps: the mean.
   */
  readonly operations: {
    /** For every image of a process. */
    readonly perImage: number;
    /** For the loss over the whole batch, on every process alike. */
    readonly perBatch: number;
  };
  readonly bytes: {
    readonly weights: number;
    readonly gradients: number;
    readonly moments: number;
    readonly momentumEncoder: number;
    readonly anchor: number;
    /** Views of the micro-batch in use and of those that workers make meanwhile. */
    readonly views: number;
    /** What the encoder gives of the whole batch, with its gradient; 0 where the batch is not encoded in parts. */
    readonly encodedRows: number;
    /** Activations of a micro-batch, at their most. */
    readonly microBatch: number;
    /** The same of the loss over the whole batch; 0 where it is a part of the micro-batch. */
    readonly wholeLoss: number;
  };
  /** What all processes need of the whole batch, and what is summed over them in a mean step, before any algorithm. */
  readonly gathered: Message;
  readonly reduced: Message;
}

/** Counts a stage. Throws when so many processes cannot share its batch equally. */
export function stageWork(stage: ResolvedStage, processes = 1): StageWork {
  const { objective, batch, rates } = stage;
  const { size: microBatch, count } = cut(objective, batch, stage.microBatch, { ...alone, size: processes });
  const inParts = objective.coupled && count * processes > 1;
  const traced = 2; // operations are in proportion
  const whole = countWhole(stage, traced);
  const parts = objective.coupled ? countParts(stage, traced, batch) : undefined;
  const { variables, trained } = whole;
  const awake = trained.filter(({ name }) => !isLazy(rates, name));

  const bytes = (list: readonly Variable[]) => 4 * numbers(list);
  const copyOf = (name: string) => objective.copies?.find(({ target }) => name.startsWith(target));
  const own = variables.filter(({ name }) => copyOf(name) === undefined);
  const kept = own.filter(({ role }) => role !== "buffer");
  const decoder = kept.filter(({ name }) => objective.decoder?.test(name) ?? false);
  const backbone = new RegExp(backbonePattern(objective.encoder));
  const encoder = kept.filter(({ name }) => backbone.test(name));
  const copies = (moves: boolean) =>
    variables.filter(({ name }) => {
      const found = copyOf(name);
      return found !== undefined && (found.momentum !== undefined) === moves;
    });

  const perBatch = parts === undefined ? 0 : parts.lossOperations;
  const perImage = inParts
    ? (parts!.encodeOperations + parts!.backwardOperations) / traced
    : (whole.operations - (parts?.ownLossOperations ?? 0)) / traced;
  // What is made of images is in proportion; what is made of weights alone, such as cuts of them, is there once.
  const { alive } = inParts ? parts! : whole;
  const twice = (inParts ? countParts(stage, 2 * traced, batch) : countWhole(stage, 2 * traced)).alive;
  const perImageAlive = (twice - alive) / traced;
  const fieldBytes = Object.values(objective.fields).reduce((sum, shape) => sum + 4 * sizeOf(shape), 0);
  return {
    microBatch,
    parameters: {
      encoder: numbers(encoder),
      decoder: numbers(decoder),
      heads: numbers(kept) - numbers(encoder) - numbers(decoder),
      trained: numbers(trained),
    },
    operations: { perImage, perBatch },
    bytes: {
      weights: bytes(own),
      gradients: bytes(trained),
      moments: 2 * bytes(trained),
      momentumEncoder: bytes(copies(true)),
      anchor: bytes(copies(false)),
      views: microBatch * fieldBytes * (stage.data.workers === 0 ? 1 : 1 + batchesAhead),
      encodedRows: inParts ? parts!.rowBytes * (processes === 1 ? 1 : 1 + 1 / processes) + parts!.cotangentBytes : 0,
      microBatch: alive + perImageAlive * (microBatch - traced),
      wholeLoss: inParts ? parts!.lossAlive : 0,
    },
    gathered: inParts ? { bytes: parts!.rowBytes, messages: parts!.rows } : { bytes: 0, messages: 0 },
    reduced: {
      bytes: meanStep(everyOf(rates), bytes(trained), bytes(awake)),
      messages: meanStep(everyOf(rates), messagesOf(trained), messagesOf(awake)),
    },
  };
}

/** Operations of a mean step, as `StageWork` counts them. */
export function stepOperations(stage: ResolvedStage): number {
  const { perImage, perBatch } = stageWork(stage).operations;
  return stage.batch * perImage + perBatch;
}

/** The loss of the encoded rows of `batch` images, which are inputs named `encoded.`, and all of its gradients. */
export function lossGraph(stage: ResolvedStage, batch: number): Readonly<Record<string, Value>> {
  const { outputs } = partsOf(stage, 2, batch);
  return Object.fromEntries(outputs.map((value, i) => [`output.${i}`, value]));
}

/** Loss and gradients in one graph, as an uncoupled objective or a batch in one piece has them. */
function countWhole({ objective, rates, recompute = false }: ResolvedStage, batch: number) {
  const { scope, loss, trainable } = trace(objective, batch, { recompute });
  const learning = trainable.filter(({ name }) => !treatment(rates, name).frozen);
  const awake = learning.filter(({ name }) => !isLazy(rates, name));
  const gradients = grad(loss, learning.map(valueOf));
  const long = [loss, ...known(gradients)];
  const short = awake.length === learning.length ? undefined : [loss, ...known(grad(loss, awake.map(valueOf)))];
  return {
    variables: [...scope.variables.values()],
    trained: learning.filter((_, i) => gradients[i] !== undefined),
    operations: short === undefined ? operations(long) : meanStep(everyOf(rates), operations(long), operations(short)),
    alive: mostAlive(long) + (short === undefined ? 0 : mostAlive(short)), // two graphs, and each keeps its memory
  };
}

/** The exact step in parts: encode, loss over the whole batch, and the way back through the encoder per micro-batch. */
function countParts(stage: ResolvedStage, microBatch: number, batch: number) {
  const { encoded, rows, cotangents, ofRows, outputs } = partsOf(stage, microBatch, batch);
  const back = known(ofRows);
  const short = everyOf(stage.rates) === 1 ? undefined : known(partsOf(stage, microBatch, batch, true).ofRows);
  const sum = (values: Values) =>
    Object.values(values).reduce((total, { shape, dtype }) => total + sizeOf(shape) * bytesOf(dtype), 0);
  return {
    encodeOperations: operations(Object.values(encoded)),
    backwardOperations:
      short === undefined ? operations(back) : meanStep(everyOf(stage.rates), operations(back), operations(short)),
    lossOperations: operations(outputs),
    ownLossOperations: operations(partsOf(stage, microBatch, microBatch).outputs),
    rows: Object.keys(rows).length,
    rowBytes: sum(rows),
    cotangentBytes: sum(cotangents),
    // two graphs, or three, and each keeps its memory
    alive: mostAlive(Object.values(encoded)) + mostAlive(back) + (short === undefined ? 0 : mostAlive(short)),
    lossAlive: mostAlive(outputs),
  };
}

/** The graphs of a stage in parts; `outputs` are the loss and all of its gradients. `short`: without those of lazy parameters. */
function partsOf({ objective, rates, recompute }: ResolvedStage, microBatch: number, batch: number, short = false) {
  const isFrozen = (name: string) => treatment(rates, name).frozen || (short && isLazy(rates, name));
  const parts = traceParts(objective, { microBatch, batch, isFrozen, recompute });
  return { ...parts, outputs: [parts.loss, ...known(parts.ofLoss), ...Object.values(parts.cotangents)] };
}

/** As `allReduceAll` sends gradients: large ones by themselves, smaller ones together. */
function messagesOf(trained: readonly Variable[]): number {
  const small = trained.filter(({ shape }) => sizeOf(shape) < bucketFloats);
  return trained.length - small.length + Math.ceil(numbers(small) / bucketFloats);
}

const valueOf = ({ value }: Variable) => value;
const numbers = (list: readonly Variable[]) => list.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
const known = (values: readonly (Value | undefined)[]) => values.filter((value) => value !== undefined);

/** Of all matrix products behind the outputs. */
function operations(outputs: readonly Value[]): number {
  return reachable(outputs).reduce((sum, value) => sum + operationsOf(value), 0);
}

function operationsOf({ op, inputs, attrs, shape }: Value): number {
  if (op.name !== "MatMul" && op.name !== "Gemm") return 0;
  return 2 * sizeOf(shape) * inputs[0]!.shape.at(attrs["transA"] === true ? -2 : -1)!;
}
