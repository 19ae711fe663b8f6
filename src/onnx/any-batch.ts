/** Graphs for any number of images. Ours have static shapes; a model that leaves the house should not. */
import { isDeepStrictEqual } from "node:util";
import type { Value } from "../graph/value.ts";
import { lowerGraph } from "./lower.ts";
import { elementTypes, type GraphProto, type NodeProto, type TensorProto, type ValueInfoProto } from "./proto.ts";

/**
 * The graph that `build` makes for a batch, with the batch left open and standard operators only. The batch is the first
 * axis of the input named `images`.
 *
 * It is lowered twice, for two batches that are primes far above any other size. Whatever differs depends on the batch,
 * and all that may differ are shapes with a multiple of it: of a Reshape, where it becomes -1, and of an Expand, where it
 * is asked of the input. Throws one sentence for any other difference: a batch within a computation cannot be left open.
 */
export function lowerForAnyBatch(
  build: (batch: number) => Readonly<Record<string, Value>>,
  images: string,
): GraphProto {
  const [graph, other] = primes.map((batch) => lowerGraph(build(batch), { target: "standard" }).graph) as [
    GraphProto,
    GraphProto,
  ];
  if (!isDeepStrictEqual(graph.node, other.node) || graph.initializer.length !== other.initializer.length)
    throw refusal("its operations are others for another batch");
  const open = new Map<string, Size[]>();
  for (const [i, constant] of graph.initializer.entries()) {
    const sizes = openSizes(constant, other.initializer[i]!);
    if (sizes !== undefined) open.set(constant.name, sizes);
  }
  const constants = new Map(graph.initializer.filter(({ name }) => !open.has(name)).map((each) => [each.name, each]));
  const list = (name: string, values: readonly number[]) => {
    const raw_data = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    constants.set(name, { name, data_type: elementTypes.int64, dims: [values.length], raw_data });
    return name;
  };

  const node = graph.node.flatMap((each): NodeProto[] => {
    const at = each.input.findIndex((name) => open.has(name));
    if (at === -1) return [each];
    const name = each.input[at]!;
    const sizes = open.get(name)!;
    const [first, ...rest] = sizes as [Size, ...Size[]];
    const isFixed = ({ times }: Size) => times === 0;
    if (at === 1 && each.op_type === "Reshape" && sizes.filter((size) => !isFixed(size)).length === 1) {
      const shape = sizes.map((size) => (isFixed(size) ? size.fixed : -1));
      return [{ ...each, input: [each.input[0]!, list(name, shape)] }];
    }
    if (at === 1 && each.op_type === "Expand" && first.times === 1 && rest.every(isFixed)) {
      const parts = [
        batchName,
        list(
          `${name}.rest`,
          rest.map(({ fixed }) => fixed),
        ),
      ];
      const shape = { ...plain("Concat", parts, `${each.name}.shape`), attribute: [{ name: "axis", type: 2, i: 0 }] };
      return [shape, { ...each, input: [each.input[0]!, shape.name] }];
    }
    throw refusal(`${each.op_type} ${each.name} takes it as a number`);
  });
  const needsBatch = node.some(({ input }) => input.includes(batchName));
  const used = new Set([...node.flatMap(({ input }) => input), ...graph.output.map(({ name }) => name)]);
  return {
    ...graph,
    node: [...(needsBatch ? [batchOf(images)] : []), ...node].map((each) => withoutUnused(each, used)),
    initializer: [...constants.values()],
    input: graph.input.map((each, i) => openInfo(each, other.input[i]!)),
    output: graph.output.map((each, i) => openInfo(each, other.output[i]!)),
  };
}

const primes = [1_000_003, 1_000_033] as const;
const batchName = "%batch";

const refusal = (why: string) => new Error(`this graph cannot be written for any batch: ${why}`);

/** A size of a shape: `fixed`, or `times` the batch. */
interface Size {
  readonly fixed: number;
  readonly times: number;
}

/** A size from what it is for the two batches. */
function asSize(one: number, other: number): Size {
  if (one === other) return { fixed: one, times: 0 };
  const times = one / primes[0];
  if (!Number.isInteger(times) || other !== times * primes[1])
    throw refusal(`a size is ${one} for a batch of ${primes[0]} and ${other} for one of ${primes[1]}`);
  return { fixed: 0, times };
}

/** The sizes in a constant that depends on the batch; undefined for one that does not. */
function openSizes(one: TensorProto, other: TensorProto): Size[] | undefined {
  if (isDeepStrictEqual(one, other)) return undefined;
  if (one.data_type !== elementTypes.int64 || !isDeepStrictEqual({ ...one, raw_data: 0 }, { ...other, raw_data: 0 }))
    throw refusal("a number in it is another for another batch");
  const [sizes, others] = [numbersOf(one), numbersOf(other)];
  return sizes.map((size, i) => asSize(size, others[i]!));
}

function numbersOf({ raw_data: { buffer, byteOffset, byteLength } }: TensorProto): number[] {
  return Array.from(new BigInt64Array(buffer, byteOffset, byteLength / 8), Number);
}

function openInfo(one: ValueInfoProto, other: ValueInfoProto): ValueInfoProto {
  const { elem_type, shape } = one.type.tensor_type;
  const dim = shape.dim.map((size, i) => {
    const found = asSize(valueOf(size), valueOf(other.type.tensor_type.shape.dim[i]!));
    if (found.times > 1) throw refusal(`${one.name} has an axis of ${found.times} times the batch`);
    return found.times === 1 ? { dim_param: "batch" } : { dim_value: found.fixed };
  });
  return { name: one.name, type: { tensor_type: { elem_type, shape: { dim } } } };
}

const valueOf = (dim: { dim_value: number } | { dim_param: string }) => ("dim_value" in dim ? dim.dim_value : NaN);

/** The number of images, as a list of one. */
function batchOf(images: string): NodeProto {
  const range = [
    { name: "start", type: 2, i: 0 },
    { name: "end", type: 2, i: 1 },
  ];
  return { ...plain("Shape", [images], batchName), attribute: range };
}

function plain(op_type: string, input: string[], name: string): NodeProto {
  return { op_type, domain: "", name, input, output: [name], attribute: [] };
}

/** Further results that nobody reads, as a norm's statistics, are not asked for. */
function withoutUnused(node: NodeProto, used: ReadonlySet<string>): NodeProto {
  const last = node.output.findLastIndex((name, i) => i === 0 || used.has(name));
  return { ...node, output: node.output.slice(0, last + 1) };
}
