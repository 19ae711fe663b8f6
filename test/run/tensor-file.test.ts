import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openTensorFile, readTensorFile } from "../../src/run/tensor-file.ts";
import { tensor } from "../../src/tensor/tensor.ts";
import { temporaryFolder } from "./temporary.ts";

/** A safetensors file of one tensor with three elements. */
function fileOf(dtype: string, bytes: number[]): string {
  const header = new TextEncoder().encode(
    JSON.stringify({ x: { dtype, shape: [3], data_offsets: [0, bytes.length] } }),
  );
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
  const path = join(temporaryFolder(), "x.safetensors");
  writeFileSync(path, Buffer.concat([length, header, Uint8Array.from(bytes)]));
  return path;
}

it.each([
  ["F16", [0, 0x3c, 0, 0xc0, 0, 0x38], [1, -2, 0.5]],
  ["BF16", [0x80, 0x3f, 0, 0xc0, 0, 0x3f], [1, -2, 0.5]],
])("%s is widened to float32", (dtype, bytes, values) => {
  const path = fileOf(dtype, bytes);
  const expected = tensor("float32", [3], Float32Array.from(values));
  expect(readTensorFile(path).tensors.get("x")).toEqual(expected);
  const { tensors, close } = openTensorFile(path);
  expect(tensors.get("x")).toMatchObject({ dtype, shape: [3] });
  expect(tensors.get("x")!.read()).toEqual(expected);
  close();
});

it.each(["U8", "I8", "F8_E4M3"])("%s can be looked at, but not read", (dtype) => {
  const path = fileOf(dtype, [1, 2, 3]);
  const { tensors, close } = openTensorFile(path);
  expect(tensors.get("x")!.shape).toEqual([3]);
  const why = `${path}: tensor x has the type ${dtype}; supported: F32, F64, I64, I32, BOOL, F16, BF16`;
  expect(() => tensors.get("x")!.read()).toThrow(why);
  close();
  expect(() => readTensorFile(path)).toThrow(why);
  expect(readTensorFile(path, () => false).tensors.size).toBe(0);
});

it("what PyTorch wrote is named, with what to do", () => {
  const path = join(temporaryFolder(), "x.pth");
  for (const start of ["PK\x03\x04", "\x80\x02\x8a"]) {
    writeFileSync(path, Buffer.from(`${start}${"\x7f".repeat(20)}`, "latin1"));
    expect(() => readTensorFile(path)).toThrow(
      `was written by PyTorch; make a checkpoint of it first: layergraft import ${path}`,
    );
  }
});
