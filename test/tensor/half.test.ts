import { expect, it } from "vitest";
import { fromBfloat16, fromFloat16 } from "../../src/tensor/half.ts";

it.each([
  [0x0000, 0],
  [0x8000, -0],
  [0x3c00, 1],
  [0xc000, -2],
  [0x3555, 0.333251953125],
  [0x7bff, 65504],
  [0x0400, 2 ** -14],
  [0x0001, 2 ** -24],
  [0x83ff, -1023 * 2 ** -24],
  [0x7c00, Infinity],
  [0xfc00, -Infinity],
  [0x7e01, NaN],
])("binary16 %i is %f", (bits, value) => {
  expect(fromFloat16(Uint16Array.of(bits))).toEqual(Float32Array.of(value));
});

it.each([
  [0x3f80, 1],
  [0xc049, -3.140625],
  [0x0001, 2 ** -133],
  [0x7f80, Infinity],
  [0xffc0, NaN],
])("bfloat16 %i is %f", (bits, value) => {
  expect(fromBfloat16(Uint16Array.of(bits))).toEqual(Float32Array.of(value));
});
