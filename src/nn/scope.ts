import { sameShape, type Shape, show } from "../tensor/shape.ts";
import { input } from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import type { Initializer } from "./init.ts";

/**
 * What a model keeps between steps: a `parameter` is trained unless frozen, a `constant` never changes (position
 * embeddings), a `buffer` moves without a gradient (batch-norm statistics).
 */
export type Role = "parameter" | "constant" | "buffer";

export interface Variable {
  readonly name: string;
  readonly shape: Shape;
  readonly role: Role;
  readonly init: Initializer;
  /** The graph input that stands for it. */
  readonly value: Value;
}

/**
 * Names and collects the variables of a model while its graph is written. Names are PyTorch state-dict keys, so
 * checkpoints need no translation. The same name is the same Value: a layer used twice shares its weights.
 */
export class Scope {
  readonly #prefix: string;
  /** Everything declared so far under any prefix, by full name, in order of declaration. */
  readonly variables: Map<string, Variable>;
  /** New values of buffers, by full name. */
  readonly updates: Map<string, Value>;

  /** Whether blocks are computed again in the backward pass, to spare memory. */
  readonly recompute: boolean;

  constructor(
    prefix = "",
    parent?: Scope,
    { recompute = parent?.recompute ?? false }: { readonly recompute?: boolean | undefined } = {},
  ) {
    this.#prefix = prefix;
    this.recompute = recompute;
    this.variables = parent?.variables ?? new Map<string, Variable>();
    this.updates = parent?.updates ?? new Map<string, Value>();
  }

  /** The scope below a name: `scope.at("blocks.0").at("attn")`. */
  at(name: string): Scope {
    return this.under(`${name}.`);
  }

  /** The scope below a prefix as objectives write it: `base_encoder.`, or nothing. */
  under(prefix: string): Scope {
    return new Scope(`${this.#prefix}${prefix}`, this);
  }

  parameter(name: string, shape: Shape, init: Initializer): Value {
    return this.#declare("parameter", name, shape, init);
  }

  constant(name: string, shape: Shape, init: Initializer): Value {
    return this.#declare("constant", name, shape, init);
  }

  /** The buffer's value: the latest update within this graph, or its value before the step. */
  buffer(name: string, shape: Shape, init: Initializer): Value {
    const value = this.#declare("buffer", name, shape, init);
    return this.updates.get(this.#prefix + name) ?? value;
  }

  /** What the buffer holds after the step. */
  update(name: string, value: Value) {
    this.updates.set(this.#prefix + name, value);
  }

  #declare(role: Role, name: string, shape: Shape, init: Initializer): Value {
    const fullName = this.#prefix + name;
    const known = this.variables.get(fullName);
    if (known === undefined) {
      const value = input(fullName, "float32", shape);
      this.variables.set(fullName, { name: fullName, shape: [...shape], role, init, value });
      return value;
    }
    if (!sameShape(known.shape, shape))
      throw new Error(`${fullName} is used as ${show(known.shape)} and as ${show(shape)}`);
    if (known.role !== role) throw new Error(`${fullName} is used as ${known.role} and as ${role}`);
    return known.value;
  }
}
