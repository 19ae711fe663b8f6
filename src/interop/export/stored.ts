/** Weights in fewer bytes: how an exported model stores them, and the nodes that give them back as float32. */
import { type Tensor } from "../../tensor/tensor.ts";
import { elementTypes, type NodeProto, storageTypes, type TensorProto } from "../../onnx/proto.ts";

/**
 * `fp32`: as they are. `fp16`: matrices and embeddings rounded to half precision, half of the bytes. `int8`: of every
 * linear layer each output's weights as whole numbers of -127 to 127 and one scale (symmetric, per channel; Jacob et al.
 * 2018 without quantized activations), about a quarter of the bytes. The runtime computes in float32 in every case.
 */
export const storedTypes = ["fp32", "fp16", "int8"] as const;
export type StoredType = (typeof storedTypes)[number];

export interface Stored {
  readonly initializer: TensorProto[];
  /** Compute the float32 tensor of the weight's name. */
  readonly node: NodeProto[];
}

/** A weight under its name. Vectors stay float32: they are small, and biases and norms are sensitive. */
export function storeWeight(name: string, { shape, data }: Tensor<"float32">, type: StoredType): Stored {
  const isMatrix = shape.length > 1;
  if (type === "fp16" && isMatrix) {
    const halves = initializer(`${name}.half`, storageTypes.float16, shape, Uint16Array.from(data, toHalf));
    return {
      initializer: [halves],
      node: [nodeFor("Cast", [halves.name], name, { name: "to", type: 2, i: elementTypes.float32 })],
    };
  }
  if (type === "int8" && isMatrix && name.endsWith(".weight")) {
    const { values, scales } = quantize(data, shape[0]!);
    const parts = [
      initializer(`${name}.int8`, storageTypes.int8, shape, values),
      initializer(`${name}.scale`, elementTypes.float32, [scales.length], scales),
    ];
    const names = parts.map((each) => each.name);
    return {
      initializer: parts,
      node: [nodeFor("DequantizeLinear", names, name, { name: "axis", type: 2, i: 0 })],
    };
  }
  return { initializer: [initializer(name, elementTypes.float32, shape, data)], node: [] };
}

function initializer(
  name: string,
  data_type: number,
  shape: readonly number[],
  { buffer, byteOffset, byteLength }: ArrayBufferView,
): TensorProto {
  return { name, data_type, dims: [...shape], raw_data: new Uint8Array(buffer, byteOffset, byteLength) };
}

function nodeFor(op_type: string, input: string[], name: string, attribute: NodeProto["attribute"][number]): NodeProto {
  return { op_type, domain: "", name: `%${name}`, input, output: [name], attribute: [attribute] };
}

/** Each of `rows` equal parts as whole numbers times a scale. */
function quantize(data: Float32Array, rows: number): { values: Int8Array; scales: Float32Array } {
  const width = data.length / rows;
  const values = new Int8Array(data.length);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const part = data.subarray(row * width, (row + 1) * width);
    const largest = part.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    scales[row] = largest === 0 ? 1 : largest / 127;
    for (let i = 0; i < width; i++) values[row * width + i] = Math.round(part[i]! / scales[row]!);
  }
  return { values, scales };
}

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** The bits of the IEEE 754 half nearest to a number, ties to even. */
export function toHalf(x: number): number {
  float[0] = x;
  const sign = (word[0]! >>> 16) & 0x8000;
  const magnitude = word[0]! & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // not a number
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 65,536 and above: infinite
  if (magnitude < 0x38800000) {
    // below 2^-14 halves are whole multiples of 2^-24
    const units = Math.abs(float[0]) * 2 ** 24;
    const down = Math.floor(units);
    const isUp = units - down > 0.5 || (units - down === 0.5 && down % 2 === 1);
    return sign | (down + Number(isUp));
  }
  // The exponent's bias is 127 there and 15 here; 13 bits go, rounded by a carry that may reach the exponent.
  return sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13);
}
