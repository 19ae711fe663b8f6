/**
 * The part of ONNX's ModelProto that graphs need (onnx/onnx.proto3; field numbers are the format's), through protobufjs.
 */
import protobuf from "protobufjs";
import type { DType } from "../tensor/dtype.ts";
import type { Shape } from "../tensor/shape.ts";

const field = (id: number, type: string) => ({ id, type });
const list = (id: number, type: string) => ({ id, type, rule: "repeated" as const });

const root = protobuf.Root.fromJSON({
  nested: {
    ModelProto: {
      fields: {
        ir_version: field(1, "int64"),
        producer_name: field(2, "string"),
        graph: field(7, "GraphProto"),
        opset_import: list(8, "OperatorSetIdProto"),
        metadata_props: list(14, "StringStringEntryProto"),
      },
    },
    OperatorSetIdProto: { fields: { domain: field(1, "string"), version: field(2, "int64") } },
    StringStringEntryProto: { fields: { key: field(1, "string"), value: field(2, "string") } },
    GraphProto: {
      fields: {
        node: list(1, "NodeProto"),
        name: field(2, "string"),
        initializer: list(5, "TensorProto"),
        input: list(11, "ValueInfoProto"),
        output: list(12, "ValueInfoProto"),
      },
    },
    NodeProto: {
      fields: {
        input: list(1, "string"),
        output: list(2, "string"),
        name: field(3, "string"),
        op_type: field(4, "string"),
        attribute: list(5, "AttributeProto"),
        domain: field(7, "string"),
      },
    },
    AttributeProto: {
      fields: {
        name: field(1, "string"),
        f: field(2, "float"),
        i: field(3, "int64"),
        s: field(4, "bytes"),
        ints: list(8, "int64"),
        type: field(20, "int32"),
      },
    },
    TensorProto: {
      fields: {
        dims: list(1, "int64"),
        data_type: field(2, "int32"),
        name: field(8, "string"),
        raw_data: field(9, "bytes"),
      },
    },
    ValueInfoProto: { fields: { name: field(1, "string"), type: field(2, "TypeProto") } },
    TypeProto: { fields: { tensor_type: field(1, "TensorTypeProto") } },
    TensorTypeProto: { fields: { elem_type: field(1, "int32"), shape: field(2, "TensorShapeProto") } },
    TensorShapeProto: { fields: { dim: list(1, "DimensionProto") } },
    DimensionProto: { fields: { dim_value: field(1, "int64"), dim_param: field(2, "string") } },
  },
});
const modelProto = root.lookupType("ModelProto");

export interface AttributeProto {
  name: string;
  type: number;
  f?: number;
  i?: number;
  s?: Uint8Array;
  ints?: number[];
}
export interface NodeProto {
  op_type: string;
  domain: string;
  name: string;
  input: string[];
  output: string[];
  attribute: AttributeProto[];
}
export interface TensorProto {
  name: string;
  data_type: number;
  dims: number[];
  raw_data: Uint8Array;
}
export interface ValueInfoProto {
  name: string;
  type: { tensor_type: { elem_type: number; shape: { dim: ({ dim_value: number } | { dim_param: string })[] } } };
}
export interface GraphProto {
  name: string;
  node: NodeProto[];
  initializer: TensorProto[];
  input: ValueInfoProto[];
  output: ValueInfoProto[];
}

/** TensorProto.DataType of each element type. */
export const elementTypes = { float32: 1, int32: 6, int64: 7, bool: 9, float64: 11 } as const satisfies Record<
  DType,
  number
>;

/** The same of types that only stored weights have. */
export const storageTypes = { float16: 10, int8: 3 } as const;

/** Versions of ONNX's operators and of its format: what our own runtime is given, or the oldest that the operators are in. */
export type OnnxVersion = "own" | "oldest";

const own = { opset: 21, ir: 10 };
/** Has layer normalisation; its format is that of opset 18, too. */
const oldest = { opset: 17, ir: 8 };
/** Operators whose form in our graphs came later: what they reduce along became an input. */
const since: ReadonlyMap<string, number> = new Map([
  ["ReduceMax", 18],
  ["ReduceMean", 18],
]);

/** Bytes of a model file. Metadata travel as metadata_props. */
export function encodeModel(
  graph: GraphProto,
  metadata: Readonly<Record<string, string>> = {},
  version: OnnxVersion = "own",
): Uint8Array {
  const opsets = graph.node.map(({ op_type }) => since.get(op_type) ?? oldest.opset);
  const { opset, ir } = version === "own" ? own : { ...oldest, opset: Math.max(oldest.opset, ...opsets) };
  const domains = new Set(["", ...graph.node.map(({ domain }) => domain)]);
  return modelProto
    .encode({
      ir_version: ir,
      producer_name: "layergraft",
      opset_import: [...domains].map((domain) => ({ domain, version: domain === "" ? opset : 1 })),
      graph,
      metadata_props: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    })
    .finish();
}

export function valueInfo(name: string, dtype: DType, shape: Shape): ValueInfoProto {
  const dim = shape.map((n) => ({ dim_value: n }));
  return { name, type: { tensor_type: { elem_type: elementTypes[dtype], shape: { dim } } } };
}
