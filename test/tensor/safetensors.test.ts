import { describe, expect, it } from "vitest";
import { decodeSafetensors, encodeSafetensors } from "../../src/tensor/safetensors.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";

const join = (pieces: Uint8Array[]) => Uint8Array.from(pieces.flatMap((piece) => [...piece]));
const file = (header: object | string, body: number[] = []) => {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
  return join([length, json, Uint8Array.from(body)]);
};

const tensors = new Map<string, Tensor>([
  ["flags", tensor("bool", [3], Uint8Array.of(1, 0, 1))],
  ["w", tensor("float32", [2, 2], Float32Array.of(1, -2, 3.5, NaN))],
  ["index", tensor("int64", [1], BigInt64Array.of(-(2n ** 60n)))],
  ["wide", tensor("float64", [], Float64Array.of(Math.PI))],
  ["none", tensor("float32", [0, 4])],
  ["small", tensor("int32", [2], Int32Array.of(-1, 2 ** 31 - 1))],
]);

describe("round trip", () => {
  it("keeps names, types, shapes, numbers and metadata", () => {
    const bytes = join(encodeSafetensors(tensors, { step: "3", text: 'ä "quoted"' }));
    const read = decodeSafetensors(bytes);
    expect(read.metadata).toEqual({ step: "3", text: 'ä "quoted"' });
    expect(Object.fromEntries(read.tensors)).toEqual(Object.fromEntries(tensors));
  });
  it("from bytes at any offset, into memory of its own", () => {
    const bytes = join(encodeSafetensors(tensors));
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    const read = decodeSafetensors(shifted.subarray(3));
    shifted.fill(0);
    expect([...read.tensors.get("small")!.data]).toEqual([-1, 2 ** 31 - 1]);
    expect(read.metadata).toEqual({});
  });
  it("aligns every tensor to its element", () => {
    const [head, ...bodies] = encodeSafetensors(tensors);
    let offset = head!.length;
    expect(offset % 8).toBe(0);
    const widths = [8, 8, 4, 4, 4, 1];
    for (const [i, body] of bodies.entries()) {
      expect(offset % widths[i]!).toBe(0);
      offset += body.length;
    }
  });
});

it("reads the format as others write it", () => {
  const header = { __metadata__: { format: "pt" }, a: { dtype: "F32", shape: [2], data_offsets: [0, 8] } };
  const read = decodeSafetensors(file(header, [0, 0, 128, 63, 0, 0, 0, 192]));
  expect(read.metadata).toEqual({ format: "pt" });
  expect(read.tensors.get("a")).toEqual(tensor("float32", [2], Float32Array.of(1, -2)));
});

describe("errors name the file and what is wrong", () => {
  const entry = (dtype: string, shape: number[], end: number, start = 0) => ({
    a: { dtype, shape, data_offsets: [start, end] },
  });
  it.each<[string, Uint8Array, string]>([
    ["empty", new Uint8Array(3), "it has 3 bytes, fewer than its header's length field"],
    ["cut off", file("{}").subarray(0, 9), "its header says 2 bytes, the file has 9"],
    ["no JSON", file("{oops}"), "its header is not JSON"],
    [
      "sizes beyond numbers",
      file(entry("F32", [2 ** 53, 0], 0)),
      "its header is wrong at a.shape.0: Too big: expected int to be <=9007199254740991",
    ],
    ["sizes", file(entry("F32", [3], 8), [0, 0, 0, 0, 0, 0, 0, 0]), "the shape and size of tensor a do not agree"],
    [
      "a negative shape",
      file(entry("F32", [-1], -4)),
      "its header is wrong at a.shape.0: Too small: expected number to be >=0",
    ],
    ["a missing end", file(entry("F32", [2], 8), [0, 0, 0, 0]), "it should have 70 bytes, but has 66"],
    [
      "an entry that is no object",
      file({ a: null }),
      "its header is wrong at a: Invalid input: expected object, received null",
    ],
    ["a header that is no object", file("null"), "its header is wrong: Invalid input: expected object, received null"],
  ])("%s", (_, bytes, why) => {
    expect(() => decodeSafetensors(bytes, "x.safetensors")).toThrow(
      new Error(`x.safetensors is not a valid safetensors file: ${why}`),
    );
  });
});
