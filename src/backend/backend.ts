/**
 * What executes graphs and holds what a training step changes: the only door to a device. The CPU's is `cpu.ts`; a GPU's
 * stands beside it and fulfils the same contract. Nothing above knows where a tensor lies.
 */
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Type, Value } from "../graph/value.ts";
import type { Variable } from "../nn/scope.ts";
import type { Treatment } from "../optim/groups.ts";

/**
 * A tensor in the memory of a backend: only the one that made it can look inside. A tensor on the host is a handle of every
 * backend.
 */
export type Handle = Type;
export type Handles = Readonly<Record<string, Handle>>;

/**
 * A graph ready to run. What `bind` names stays from run to run: bound inputs are read from where they lie, bound outputs
 * are written there. One handle may be both, if its only reader is its writer: that is how gradients accumulate in place.
 */
export interface Executable {
  readonly inputs: ReadonlyMap<string, Type>;
  readonly outputs: ReadonlyMap<string, Type>;
  /** Throws when a name is unknown or a type differs. */
  bind(handles: { inputs?: Handles; outputs?: Handles }): void;
  /** Computes all outputs from the inputs that are not bound. Returns the outputs that are not bound, on the host. */
  run(feeds?: Handles): Promise<Record<string, Tensor>>;
  /** Frees what the backend holds for it. */
  release(): Promise<void>;
}

export interface Backend {
  /** `cpu` */
  readonly name: string;
  /**
   * Compiles the graph behind the named outputs. `bound`: those of them that will be bound, and need not come to the host.
   * Throws the runtime's message when it cannot execute an operation.
   */
  compile(outputs: Readonly<Record<string, Value>>, bound?: readonly string[]): Promise<Executable>;
  /** Memory for variables, filled with zeros. */
  allocate(allocation: Allocation): Promise<State>;
  /**
   * A float32 tensor on the device, to be bound: first as an output, which writes it, then as an input. Missing where the
   * memory of the device is the host's.
   */
  place?(shape: Shape): Place;
  /** Rows (images × tokens) whose activations lie in its caches: more at a time are slower. Missing where there is no such limit. */
  readonly cachedRows?: number;
}

/** Of a processor: products of one to two thousand rows are fastest, and so is what lies between them. */
export const cachedRows = 2000;

/** A tensor of one's own on a device. */
export interface Place extends Handle {
  release(): void;
}

/** Constants of AdamW (Loshchilov and Hutter, 2019). */
export interface AdamWOptions {
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly weightDecay: number;
}

/** The names of a variable and of one that is a copy of it. */
export interface Pair {
  readonly source: string;
  readonly target: string;
}

export interface Allocation {
  readonly variables: readonly Variable[];
  /** Names of the variables that are trained: they have a gradient and the optimizer's moments, too. */
  readonly trained: ReadonlySet<string>;
  /** Those that `average` will be asked for. No two may share a source. */
  readonly averaged: readonly Pair[];
  /** Of `update`. Left out: none is asked for. */
  readonly optimizer?: AdamWOptions;
}

/** One update of trained variables; `step` counts theirs from 1. */
export interface Update {
  readonly step: number;
  /** Before the factor of each parameter's treatment. */
  readonly rate: number;
  /** Factor on the gradient (clipping). */
  readonly scale: number;
  readonly treatments: ReadonlyMap<string, Treatment>;
  /** Which of the trained variables are moved. Default: all. */
  readonly names?: ReadonlySet<string>;
}

/**
 * The variables of a model, with gradients and moments beside the trained ones. In `read` and `write` these go by the
 * variable's name and by `optimizer.m.<name>` and `optimizer.v.<name>`, as in a checkpoint.
 *
 * What is read may be the state's own memory: it is good until the state changes, and who needs it longer makes a copy.
 */
export interface State {
  /** In order of declaration. */
  readonly variables: ReadonlyMap<string, Variable>;
  readonly trained: ReadonlySet<string>;
  /** Variables and moments; variables alone unless `moments`. */
  read(options?: { readonly moments?: boolean }): Promise<Map<string, Tensor<"float32">>>;
  /**
   * Copies values in; names the state does not have are left out. Throws when a shape differs. Returns the names of
   * `values` that were used.
   */
  write(values: ReadonlyMap<string, Tensor>): Promise<string[]>;
  /** The gradients by the names of their variables: of all that are trained, or of those in `names`. */
  readGradients(names?: ReadonlySet<string>): Promise<Map<string, Tensor<"float32">>>;
  writeGradients(values: ReadonlyMap<string, Tensor<"float32">>): Promise<void>;
  /** A variable or its gradient, to bind it. `shape`: the same numbers in a shape of the same size. */
  handle(name: string, what?: "value" | "gradient", shape?: Shape): Handle;
  zeroGradients(): Promise<void>;
  /** The Euclidean norm of all gradients together; not finite when one of them is not. */
  gradientNorm(): Promise<number>;
  /** AdamW, in place; zeroes the gradients of what it moves. */
  update(update: Update): Promise<void>;
  /** Sets every target to its source. */
  copy(pairs: readonly Pair[]): Promise<void>;
  /** target = momentum · target + (1 - momentum) · source, for pairs that were named when the state was allocated. */
  average(pairs: readonly Pair[], momentum: number): Promise<void>;
  /** Frees the memory. */
  release(): Promise<void>;
}
