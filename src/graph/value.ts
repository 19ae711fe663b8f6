import type { DType } from "../tensor/dtype.ts";
import { type Shape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What an op's node carries besides its inputs. */
export type Attrs = Readonly<Record<string, number | string | boolean | readonly number[] | Tensor | undefined>>;

/** Element type and static shape. */
export interface Type {
  readonly dtype: DType;
  readonly shape: Shape;
}

/**
 * A symbolic tensor: the (first) result of an op on other values. Immutable; a graph is whatever is reachable from its
 * outputs, so what nobody uses does not exist. Ids grow with creation, hence ascending ids are a topological order.
 */
export interface Value<A extends Attrs = Attrs> extends Type {
  readonly id: number;
  readonly op: Op<A>;
  readonly inputs: readonly Value[];
  readonly attrs: A;
}

/** All there is to know about an operation, in one place. */
export interface Op<A extends Attrs = Attrs> {
  /** The ONNX operator. */
  readonly name: string;
  /** ONNX operator domain when it is not the default one. */
  readonly domain?: string;
  /** Result type, or an error that names the shapes. An op with several results gives the first one's. */
  infer(inputs: readonly Value[], attrs: A): Type;
  /**
   * Cotangents of the inputs from the cotangent `dy` of the result `y`; `null` where an input has no gradient by nature.
   * A cotangent may still have the broadcast shape: `grad` sums it down. Left out: asking for a gradient is an error.
   */
  vjp?(dy: Value, y: Value<A>): readonly (Value | null)[];
  /** ONNX nodes for this op; left out: one node `name` with `attrs` as they are. */
  lower?(emit: Emitter, inputs: readonly string[], y: Value<A>): string;
}

/**
 * What a model is for. `cpu`: our runtime's CPU kernels, those outside the ONNX standard included. `standard`: any runtime,
 * so standard operators only. `device`: the runtime's WebGPU kernels alone, so that nothing of it is computed elsewhere; there
 * every number is a float32, whatever the type of the value (`ops/device.ts`).
 */
export type Target = "cpu" | "standard" | "device";

/** Receives ONNX nodes while a graph is lowered. */
export interface Emitter {
  readonly target: Target;
  /** Adds a node and returns the name of its first result; `results` names how many it has. */
  node(
    op: string,
    inputs: readonly string[],
    attrs?: OnnxAttrs,
    options?: { domain?: string; results?: number },
  ): string;
  /** The name of result `index` of the node whose first result is `first`. */
  result(first: string, index: number): string;
  /** The name of a constant. */
  constant(value: Tensor): string;
}

/** ONNX attributes; a `float` marks numbers that ONNX wants as floating point. */
export type OnnxAttrs = Readonly<Record<string, number | string | readonly number[] | { readonly float: number }>>;

const counter = Symbol.for("layergraft: ids of values");

/**
 * Counts for all of the process. An objective in a file of its own may import another copy of this package than the program
 * that loads it has, and both write one graph. For the same reason an op is known by its name where it must be known.
 */
const ids = ((globalThis as { [counter]?: { next: number } })[counter] ??= { next: 0 });

/** A new value; the only constructor. Errors of `infer` are prefixed with the op's name. */
export function apply<A extends Attrs>(op: Op<A>, inputs: readonly Value[], attrs: A): Value<A> {
  let type: Type;
  try {
    type = op.infer(inputs, attrs);
  } catch (error) {
    throw new Error(`${op.name}: ${(error as Error).message}`, { cause: error });
  }
  return Object.freeze({ id: ids.next++, op, inputs, attrs, dtype: type.dtype, shape: type.shape });
}

/** Every value the outputs depend on, themselves included, inputs before users. */
export function reachable(outputs: readonly Value[]): Value[] {
  const seen = new Set<Value>();
  const stack = [...outputs];
  while (stack.length > 0) {
    const value = stack.pop()!;
    if (seen.has(value)) continue;
    seen.add(value);
    stack.push(...value.inputs);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/** The outputs as they would be with `replacements` in place of some of the values that they depend on. */
export function substitute(outputs: readonly Value[], replacements: ReadonlyMap<Value, Value>): Value[] {
  const found = new Map(replacements);
  const now = (value: Value) => found.get(value) ?? value;
  for (const value of reachable(outputs))
    if (!found.has(value) && value.inputs.some((each) => found.has(each)))
      found.set(value, apply(value.op, value.inputs.map(now), value.attrs));
  return outputs.map(now);
}

/** The graph behind the outputs as text, a line a value: `%3 = Add(%1, %2) float32[2,3]`. */
export function print(outputs: readonly Value[]): string {
  const values = reachable(outputs);
  const names = new Map(values.map((value, i) => [value, `%${i}`]));
  const line = (value: Value) => {
    const attrs = Object.entries(value.attrs).flatMap(([name, a]) =>
      a === undefined ? [] : `${name}=${typeof a === "object" && "data" in a ? "…" : JSON.stringify(a)}`,
    );
    const args = [...value.inputs.map((input) => names.get(input)!), ...attrs].join(", ");
    return `${names.get(value)} = ${value.op.name}(${args}) ${value.dtype}${show(value.shape)}`;
  };
  return values.map(line).join("\n");
}
