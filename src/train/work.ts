/** How much computing and memory training takes, by counting on the graph: to plan and to give equal budgets, not to tell seconds. */
import { bytesOf } from "../tensor/dtype.ts";
import { sizeOf } from "../tensor/shape.ts";
import { mostAlive } from "../graph/alive.ts";
import { grad, vjp } from "../graph/grad.ts";
import * as op from "../graph/ops/index.ts";
import { reachable, type Value } from "../graph/value.ts";
import { Scope, type Variable } from "../nn/scope.ts";
import { treatment } from "../optim/groups.ts";
import type { Objective } from "../objectives/objective.ts";
import { objectiveOf, type Recipe, type Stage } from "./recipe.ts";
import { trace } from "./gradient.ts";

/**
 * Floating-point operations of a stage per image: those of the matrix products in its step, forward and backward, with two
 * for each multiplication and its addition. Layers that the recipe freezes are counted as if they were trained.
 */
export function imageWork(recipe: Recipe, stage: Stage): number {
  const batch = 2; // the comparison of the images of a larger one costs next to nothing
  const { loss, trainable } = trace(objectiveOf(recipe, stage), batch);
  return operations([loss, ...known(grad(loss, trainable.map(valueOf)))]) / batch;
}

/** A stage as it is trained by `processes` that share every batch; sizes in bytes are those of one process. */
export interface StageWork {
  /** Numbers: the encoder's with its position table, and `trained`, which a step changes. */
  readonly parameters: {
    readonly encoder: number;
    readonly decoder: number;
    readonly heads: number;
    readonly trained: number;
  };
  /** Of the matrix products, two for each multiplication and its addition; frozen layers have no backward pass. */
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
    /** Images of the batch in use, as the graph takes them. */
    readonly batch: number;
    /** What the encoder gives of the whole batch, with its gradient; 0 where the batch is not encoded in parts. */
    readonly encodedRows: number;
    readonly microBatch: number;
    readonly wholeLoss: number;
  };
  /** What a process sends to all others in a step, and what is summed over them: bytes, before any algorithm. */
  readonly gathered: number;
  readonly reduced: number;
}

/** Counts a stage. `stage.batch` is the whole one; the micro-batch must divide the share of a process. */
export function stageWork(recipe: Recipe, stage: Stage, processes = 1): StageWork {
  const objective = objectiveOf(recipe, stage);
  const { batch, microBatch } = stage;
  const share = batch / processes;
  const inParts = objective.coupled && microBatch < batch;
  const traced = Math.min(microBatch, 8); // the rest is in proportion, and large constants need not be made
  const whole = traceWhole(objective, stage, traced);
  const parts = objective.coupled ? traceParts(objective, stage, traced, batch) : undefined;
  const { variables, trained } = whole;

  const bytes = (list: readonly Variable[]) => 4 * numbers(list);
  const targets = objective.followers ?? [];
  const follower = (name: string) => targets.find(({ target }) => name.startsWith(target));
  const own = variables.filter(({ name }) => follower(name) === undefined);
  const kept = own.filter(({ role }) => role !== "buffer");
  const decoder = kept.filter(({ name }) => /^(mask_token$|decoder_)/.test(name));
  const encoder = kept.filter(({ name }) => isEncoder(name, objective.encoder));
  const following = (moves: boolean) =>
    variables.filter(({ name }) => {
      const found = follower(name);
      return found !== undefined && (found.momentum !== undefined) === moves;
    });

  const perBatch = parts === undefined ? 0 : parts.lossOperations;
  const perImage = inParts
    ? (parts!.encodeOperations + parts!.backwardOperations) / traced
    : (whole.operations - (parts?.ownLossOperations ?? 0)) / traced;
  const fieldBytes = Object.values(objective.fields).reduce((sum, shape) => sum + 4 * sizeOf(shape), 0);
  return {
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
      momentumEncoder: bytes(following(true)),
      anchor: bytes(following(false)),
      batch: share * fieldBytes,
      encodedRows: inParts ? parts!.rowBytes + parts!.cotangentBytes : 0,
      microBatch: ((inParts ? parts!.alive : whole.alive) / traced) * microBatch,
      wholeLoss: inParts ? parts!.lossAlive : 0,
    },
    gathered: inParts ? parts!.rowBytes / processes : 0,
    reduced: bytes(trained),
  };
}

/** Loss and gradients in one graph, as an uncoupled objective or a batch in one piece has them. */
function traceWhole(objective: Objective, stage: Stage, batch: number) {
  const { scope, loss, trainable } = trace(objective, batch);
  const learning = trainable.filter(({ name }) => !treatment(stage.rates, name).frozen);
  const gradients = grad(loss, learning.map(valueOf));
  const outputs = [loss, ...known(gradients)];
  return {
    variables: [...scope.variables.values()],
    trained: learning.filter((_, i) => gradients[i] !== undefined),
    operations: operations(outputs),
    alive: mostAlive(outputs),
  };
}

/** The exact step in parts: encode, loss over the whole batch, and the way back through the encoder per micro-batch. */
function traceParts(objective: Objective, stage: Stage, microBatch: number, batch: number) {
  const { scope, encoded, trainable, rows } = encodeAlone(objective, microBatch);
  const learning = trainable(stage);
  const lossOf = (images: number) => {
    const inputs = rows(images);
    const { loss } = objective.loss(scope, inputs);
    const all = trainable(stage); // with the heads, which the loss has declared
    const gradients = grad(loss, [...all.map(valueOf), ...Object.values(inputs)]);
    return { inputs, outputs: [loss, ...known(gradients)], cotangents: gradients.slice(all.length) };
  };
  const { inputs, outputs, cotangents } = lossOf(batch);
  const used = Object.values(encoded).filter((_, i) => cotangents[i] !== undefined);
  const back = known(
    vjp(
      used.map((value, i) => [value, op.input(`cotangent.${i}`, value.dtype, value.shape)]),
      learning.map(valueOf),
    ),
  );
  const size = ({ shape, dtype }: Value) => sizeOf(shape) * bytesOf(dtype);
  const sum = (values: readonly Value[]) => values.reduce((total, value) => total + size(value), 0);
  return {
    encodeOperations: operations(Object.values(encoded)),
    backwardOperations: operations(back),
    lossOperations: operations(outputs),
    ownLossOperations: operations(lossOf(microBatch).outputs),
    rowBytes: sum(Object.values(inputs)),
    cotangentBytes: sum(known(cotangents)),
    alive: Math.max(mostAlive(Object.values(encoded)), mostAlive(back)),
    lossAlive: mostAlive(outputs),
  };
}

/** `encode` of a micro-batch; `rows` are inputs in the place of what it gives for so many images. */
function encodeAlone(objective: Objective, microBatch: number) {
  const scope = new Scope();
  const fields = Object.entries(objective.fields).map(
    ([name, shape]) => [name, op.input(`batch.${name}`, "float32", [microBatch, ...shape])] as const,
  );
  const encoded = objective.encode(scope, Object.fromEntries(fields));
  const follows = (name: string) => objective.followers?.some(({ target }) => name.startsWith(target)) ?? false;
  return {
    scope,
    encoded,
    trainable: ({ rates }: Stage) =>
      [...scope.variables.values()].filter(
        ({ name, role }) => role === "parameter" && !follows(name) && !treatment(rates, name).frozen,
      ),
    rows: (images: number): Record<string, Value> =>
      Object.fromEntries(
        Object.entries(encoded).map(
          ([
            name,
            {
              dtype,
              shape: [first, ...rest],
            },
          ]) => [name, op.input(`encoded.${name}`, dtype, [(first! / microBatch) * images, ...rest])],
        ),
      ),
  };
}

function isEncoder(name: string, prefix: string): boolean {
  return (
    name.startsWith(prefix) && /^(cls_token$|pos_embed$|patch_embed\.|blocks\.|norm\.)/.test(name.slice(prefix.length))
  );
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
