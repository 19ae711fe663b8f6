import { describe, expect, it } from "vitest";
import * as op from "../../src/graph/ops/index.ts";
import type { Value } from "../../src/graph/value.ts";
import { lowerForAnyBatch } from "../../src/onnx/any-batch.ts";

const images = (batch: number) => op.input("images", "float32", [batch, 6]);
const graphOf = (f: (x: Value, batch: number) => Value) =>
  lowerForAnyBatch((batch) => ({ y: f(images(batch), batch) }), "images");
const dims = ({ type }: ReturnType<typeof graphOf>["input"][number]) => type.tensor_type.shape.dim;
const constant = (graph: ReturnType<typeof graphOf>, name: string) => {
  const { buffer, byteOffset, byteLength } = graph.initializer.find((each) => each.name === name)!.raw_data;
  return Array.from(new BigInt64Array(buffer, byteOffset, byteLength / 8), Number);
};

it("a batch in a new shape becomes -1, however many rows of it there are", () => {
  const graph = graphOf((x, batch) => op.exp(op.reshape(op.reshape(op.neg(x), [batch * 2, 3]), [batch, 2, 3])));
  const reshape = graph.node.find(({ op_type }) => op_type === "Reshape")!;
  expect(constant(graph, reshape.input[1]!)).toEqual([-1, 2, 3]);
  expect([dims(graph.input[0]!), dims(graph.output[0]!)]).toEqual([
    [{ dim_param: "batch" }, { dim_value: 6 }],
    [{ dim_param: "batch" }, { dim_value: 2 }, { dim_value: 3 }],
  ]);
  const rows = graphOf((x, batch) => op.reshape(op.exp(op.reshape(x, [batch * 2, 3])), [batch, 6]));
  const [first] = rows.node.filter(({ op_type }) => op_type === "Reshape");
  expect(constant(rows, first!.input[1]!)).toEqual([-1, 3]);
});

it("what is repeated for every image asks the input how many there are", () => {
  const token = op.input("token", "float32", [1, 6]);
  const graph = graphOf((x, batch) => op.concat([op.expand(token, [batch, 6]), x], 1));
  expect(graph.node.map(({ op_type }) => op_type)).toEqual(["Shape", "Concat", "Expand", "Concat"]);
  expect(graph.node[0]!.input).toEqual(["images"]);
  expect(constant(graph, graph.node[1]!.input[1]!)).toEqual([6]);
});

it("operators are of the standard, and results that nobody reads are not asked for", () => {
  const [gain, shift] = ["gain", "shift"].map((name) => op.input(name, "float32", [6])) as [Value, Value];
  const weight = op.input("weight", "float32", [5, 6]);
  const graph = graphOf((x) => op.matmul(op.layerNorm(x, gain, shift), weight, { transB: true, alpha: 0.5 }));
  expect(graph.node.every(({ domain }) => domain === "")).toBe(true);
  const norm = graph.node.find(({ op_type }) => op_type === "LayerNormalization")!;
  expect(norm.output).toHaveLength(1);
});

describe("a batch that is more than a size is refused", () => {
  const cases: [string, (x: Value, batch: number) => Value, string][] = [
    ["a factor", (x, batch) => op.mul(x, 1 / batch), "a number in it is another for another batch"],
    ["its end", (x, batch) => op.slice(x, 0, 0, batch - 1), "a size is 1000002 for a batch of 1000003 and 1000032 for"],
    ["its half", (x, batch) => op.slice(op.concat([x, x], 0), 0, 0, batch), "Slice %1 takes it as a number"],
    [
      "a pair of them",
      (x, batch) => op.reshape(op.matmul(x, x, { transB: true }), [batch, 1, batch]),
      "Reshape %2 takes it as a number",
    ],
    ["twice the batch", (x) => op.concat([x, x], 0), "y has an axis of 2 times the batch"],
    [
      "another graph",
      (x, batch) => (batch % 10 === 3 && batch < 1_000_010 ? op.neg(x) : op.exp(x)),
      "its operations are others",
    ],
  ];
  it.each(cases)("%s", (_, f, why) => {
    expect(() => graphOf(f)).toThrow(`this graph cannot be written for any batch: ${why}`);
  });
});
