import { show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { inputOp } from "../graph/ops/index.ts";
import { deviceType } from "../graph/ops/device.ts";
import { type Emitter, type OnnxAttrs, reachable, type Target, type Type, type Value } from "../graph/value.ts";
import {
  type AttributeProto,
  elementTypes,
  encodeModel,
  type GraphProto,
  type NodeProto,
  type TensorProto,
  valueInfo,
} from "./proto.ts";

/** A model, what it is fed and what it gives: the types of the model, which for a device need not be the values'. */
export interface Lowered {
  readonly model: Uint8Array;
  readonly inputs: ReadonlyMap<string, Type>;
  readonly outputs: ReadonlyMap<string, Type>;
}

/** One ONNX model that computes the named outputs. */
export function lower(
  outputs: Readonly<Record<string, Value>>,
  metadata: Readonly<Record<string, string>> = {},
  options: LowerOptions = {},
): Lowered {
  const { graph, ...types } = lowerGraph(outputs, options);
  return { model: encodeModel(graph, metadata), ...types };
}

export interface LowerOptions {
  /** What will run the model (default `cpu`). */
  readonly target?: Target;
}

/**
 * The graph of that model.
 *
 * The runtime does not execute nodes in file order: it walks back from the leaves, the last leaf first. Leaves (here:
 * accumulated gradients) are therefore written last, in the reverse of the order in which they become ready, so that the
 * backward pass frees activations from the top of the network down.
 */
export function lowerGraph(
  outputs: Readonly<Record<string, Value>>,
  { target = "cpu" }: LowerOptions = {},
): { graph: GraphProto } & Omit<Lowered, "model"> {
  const lowering = new Lowering(target);
  const names = new Map<Value, string>();
  for (const value of reachable(Object.values(outputs))) names.set(value, lowering.value(value, names));

  // An output takes over the name of what it is; a second output of the same value, or of an input, is a copy.
  const { nodes, inputs, constants } = lowering;
  const produced = new Set(nodes.flatMap(({ node }) => node.output));
  const renamed = new Map<string, string>();
  for (const [name, value] of Object.entries(outputs)) {
    const source = names.get(value)!;
    if (produced.has(source) && !renamed.has(source)) renamed.set(source, name);
    else nodes.push({ node: identity(source, name), depth: lowering.depths.get(value)! });
  }
  const rename = (name: string) => renamed.get(name) ?? name;
  for (const { node } of nodes) {
    node.input = node.input.map(rename);
    node.output = node.output.map(rename);
  }

  const used = new Set(nodes.flatMap(({ node }) => node.input));
  const isLeaf = ({ node }: LoweredNode) => !node.output.some((name) => used.has(name));
  const leaves = nodes.filter(isLeaf).sort((a, b) => b.depth - a.depth);
  const ordered = [...nodes.filter((node) => !isLeaf(node)), ...leaves];
  const types = new Map(Object.entries(outputs).map(([name, value]) => [name, lowering.type(value)]));
  const graph = {
    name: "layergraft",
    node: ordered.map(({ node }) => node),
    initializer: [...constants.values()],
    input: [...inputs].map(([name, { dtype, shape }]) => valueInfo(name, dtype, shape)),
    output: [...types].map(([name, { dtype, shape }]) => valueInfo(name, dtype, shape)),
  };
  return { graph, inputs, outputs: types };
}

interface LoweredNode {
  readonly node: NodeProto;
  /** Nodes on the longest way to this one: grows along the backward pass, so it tells when the node becomes ready. */
  readonly depth: number;
}

/** Collects nodes, inputs and constants. */
class Lowering implements Emitter {
  readonly nodes: LoweredNode[] = [];
  readonly inputs = new Map<string, Type>();
  readonly constants = new Map<string, TensorProto>();
  readonly depths = new Map<Value, number>();
  readonly target: Target;
  #depth = 0;

  constructor(target: Target) {
    this.target = target;
  }

  /** The type that the model has for a value's. */
  type({ dtype, shape }: Type): Type {
    return { dtype: this.target === "device" ? deviceType(dtype) : dtype, shape };
  }

  /** The name under which later nodes find the value. */
  value(value: Value, names: ReadonlyMap<Value, string>): string {
    const args = value.inputs.map((each) => names.get(each)!);
    this.#depth = Math.max(-1, ...value.inputs.map((each) => this.depths.get(each)!)) + 1;
    this.depths.set(value, this.#depth);
    if (value.op.name === inputOp.name) {
      const name = value.attrs["name"] as string;
      if (this.inputs.has(name)) throw new Error(`two different inputs are named ${name}`);
      this.inputs.set(name, this.type(value));
      return name;
    }
    if (value.op.lower !== undefined) return value.op.lower(this, args, value);
    const { domain } = value.op;
    return this.node(value.op.name, args, value.attrs as OnnxAttrs, domain === undefined ? {} : { domain });
  }

  node(
    op: string,
    input: readonly string[],
    attrs: OnnxAttrs = {},
    { domain = "", results = 1 }: { domain?: string; results?: number } = {},
  ): string {
    const first = `%${this.nodes.length}`; // the sign keeps clear of the names of inputs and outputs
    const output = Array.from({ length: results }, (_, i) => this.result(first, i));
    const node = { op_type: op, domain, name: first, input: [...input], output, attribute: attributes(attrs) };
    this.nodes.push({ node, depth: this.#depth });
    return first;
  }

  result(first: string, index: number): string {
    return index === 0 ? first : `${first}.${index}`;
  }

  constant({ dtype, shape, data }: Tensor): string {
    const small = data.length <= 64; // shapes, axes and scalars recur all the time: kept once
    const key = small ? `${dtype}${show(shape)}${data.join()}` : `${this.constants.size}`;
    const known = this.constants.get(key);
    if (known !== undefined) return known.name;
    const name = `%c${this.constants.size}`;
    const raw_data = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.constants.set(key, { name, data_type: elementTypes[dtype], dims: [...shape], raw_data });
    return name;
  }
}

function identity(input: string, output: string): NodeProto {
  return { op_type: "Identity", domain: "", name: output, input: [input], output: [output], attribute: [] };
}

/** AttributeProto.AttributeType: FLOAT 1, INT 2, STRING 3, INTS 7. */
function attributes(attrs: OnnxAttrs): AttributeProto[] {
  return Object.entries(attrs).map(([name, value]) => {
    if (typeof value === "number") return { name, type: 2, i: value };
    if (typeof value === "string") return { name, type: 3, s: new TextEncoder().encode(value) };
    return "float" in value ? { name, type: 1, f: value.float } : { name, type: 7, ints: [...value] };
  });
}
