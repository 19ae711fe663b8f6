/** The graphs of a training step, before they are compiled: one, or three where a batch that is compared comes in parts. */
import { grad, vjp } from "../graph/grad.ts";
import * as op from "../graph/ops/index.ts";
import { substitute, type Value } from "../graph/value.ts";
import { Scope, type Variable } from "../nn/scope.ts";
import type { Objective, Values } from "../objectives/objective.ts";
import { constantCopies } from "./copies.ts";
import { port } from "./ports.ts";

/** The graph of an objective on `batch` samples, before it is differentiated; `trainable` may have a gradient. */
export function trace(objective: Objective, batch: number, options: TraceOptions = {}) {
  const scope = new Scope("", undefined, options);
  const scalars = scalarsOf(objective);
  const encoded = encodeInParts(objective, scope, batch, scalars, options);
  const { loss, metrics = {} } = objective.loss(scope, encoded, scalars);
  return { scope, loss, metrics, trainable: trainableOf(objective, scope.variables.values()) };
}

/** How an objective is traced. */
export interface TraceOptions {
  /** See `GradientOptions`. */
  readonly recompute?: boolean | undefined;
  /** Samples of the batch or micro-batch that are encoded at a time (default: all). */
  readonly part?: number;
  /** Which parameters stay as they are and equal their copies, as tables then do too (default: that is not known). */
  readonly isConstant?: ((name: string) => boolean) | undefined;
}

/** Of how many samples, and how, a step is traced in parts. */
export interface PartsOptions extends TraceOptions {
  readonly microBatch: number;
  /** Whose rows the loss compares; a multiple of the micro-batch. */
  readonly batch: number;
  /** Which parameters get no gradient. */
  isFrozen(name: string): boolean;
}

/**
 * The three graphs of a step in parts: `encoded` from a micro-batch; the loss of the whole batch's `rows`, inputs in the
 * place of what was encoded, with its gradients `ofLoss` (of the trainable parameters) and `cotangents` (of the rows that
 * have something to learn, by name); and `ofRows`, the gradients of what encoded a micro-batch, from ports `cotangent`.
 */
export function traceParts(objective: Objective, options: PartsOptions) {
  const { microBatch, batch, isFrozen } = options;
  const scope = new Scope("", undefined, options);
  const scalars = scalarsOf(objective);
  const encoded = encodeInParts(objective, scope, microBatch, scalars, options);
  const rows = mapValues(encoded, ({ shape: [lead, ...rest] }, name) =>
    port("encoded", name, [(lead! / microBatch) * batch, ...rest]),
  );
  const { loss, metrics = {} } = objective.loss(scope, rows, scalars);
  const trainable = trainableOf(objective, scope.variables.values()).filter(({ name }) => !isFrozen(name));
  const values = trainable.map(({ value }) => value);
  const names = Object.keys(encoded);
  const derivatives = grad(loss, [...values, ...names.map((name) => rows[name]!)]);
  const cotangents: Record<string, Value> = {};
  for (const [i, name] of names.entries()) {
    const cotangent = derivatives[values.length + i];
    if (cotangent !== undefined && reaches(encoded[name]!, values)) cotangents[name] = cotangent;
  }
  const ofRows = vjp(
    Object.keys(cotangents).map((name) => [encoded[name]!, port("cotangent", name, encoded[name]!.shape)] as const),
    values,
  );
  return {
    scope,
    encoded,
    rows,
    loss,
    metrics,
    trainable,
    ofLoss: derivatives.slice(0, values.length),
    cotangents,
    ofRows,
  };
}

/**
 * What an objective encodes from a batch, `part` samples at a time: the same rows, whose activations are small enough for
 * the processor's caches. What a copy would compute as its frozen source does is written twice as the same, and computed
 * once: the runtime joins equal nodes.
 */
function encodeInParts(
  objective: Objective,
  scope: Scope,
  batch: number,
  scalars: Values,
  { part = batch, isConstant }: TraceOptions,
): Values {
  const fields = fieldsOf(objective, batch);
  const starts = Array.from({ length: batch / part }, (_, i) => i * part);
  const parts = starts.map((start) =>
    objective.encode(
      scope,
      mapValues(fields, (field) => op.slice(field, 0, start, start + part)),
      scalars,
    ),
  );
  // The leading axis counts samples, or view after view the samples of each.
  const encoded = mapValues(parts[0]!, ({ shape: [lead, ...rest] }, name) => {
    const views = lead! / part;
    const rows = parts.map((each) => op.reshape(each[name]!, [views, part, ...rest]));
    return op.reshape(op.concat(rows, 1), [views * batch, ...rest]);
  });
  if (isConstant === undefined) return encoded;
  const shared = substitute(Object.values(encoded), constantCopies(objective, scope.variables, isConstant));
  return Object.fromEntries(Object.keys(encoded).map((name, i) => [name, shared[i]!]));
}

/** The inputs of a graph of `batch` samples, by field. */
function fieldsOf({ fields }: Objective, batch: number): Values {
  return mapValues(fields, (shape, name) => port("batch", name, [batch, ...shape]));
}

function scalarsOf({ schedules = {} }: Objective): Values {
  return mapValues(schedules, (_, name) => port("scalar", name, []));
}

/** The parameters that may have a gradient: those that are no copies. */
export function trainableOf({ copies = [] }: Objective, variables: Iterable<Variable>): Variable[] {
  const isCopy = (name: string) => copies.some(({ target }) => name.startsWith(target));
  return [...variables].filter(({ name, role }) => role === "parameter" && !isCopy(name));
}

function reaches(value: Value, targets: readonly Value[]): boolean {
  const probe = op.full(value.shape, 0);
  return vjp([[value, probe]], targets).some((cotangent) => cotangent !== undefined);
}

export function mapValues<T, U>(
  values: Readonly<Record<string, T>>,
  f: (value: T, name: string) => U,
): Record<string, U> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, f(value, name)]));
}
