import { describe as group, expect, it } from "vitest";
import * as op from "../../src/graph/ops/index.ts";
import { whyNoCuda } from "../../src/backend/adapter.ts";
import { describe, openBackend, openFile } from "../../src/backend/open.ts";
import { adapter } from "./adapter.ts";

const hasAdapter = await adapter();
const noCuda = await whyNoCuda();
const x = op.input("x", "float32", [2]);

it("opens the processor by default", async () => {
  expect(openBackend().name).toBe("cpu");
  expect(openBackend({ device: "webgpu" }).name).toBe("webgpu");
  expect(openBackend({ device: "cuda", threads: 1 }).name).toBe("cuda");
});

group("an error of a device is one sentence", () => {
  // as ONNX Runtime 1.30 says them, except the loss, which nothing here brings about
  it.each([
    [
      "WebGPU validation failed. [Invalid Buffer (unlabeled)] is invalid due to a previous error.\n - While validating",
      /^the webgpu device has too little memory, or takes no tensor so large \([^\n]+\): take a smaller micro-batch, [^\n]+$/,
    ],
    [
      "Non-zero status code returned while running MatMul node. Name:'%0' Status Message: shader_helper.cc:306 " +
        "numbers_storage_buffers_ <= limits_.maxStorageBuffersPerShaderStage was false. Too many storage buffers in shader. " +
        "Current: 21, Max is 12\n",
      /^the webgpu device has too little memory, [^\n]*Too many storage buffers in shader/,
    ],
    [
      "This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly " +
        "disabled by the user.",
      /^the device webgpu has no kernel for an operation of this graph/,
    ],
    [
      "WebGPU device lost (2): A device was removed",
      /^the webgpu device was lost \(WebGPU device lost \(2\): A device/,
    ],
  ])("%s", async (message, expected) => {
    expect(await describe(new Error(message), "webgpu")).toMatch(expected);
  });

  it("and any other error stays", async () => {
    expect(await describe(new Error("input x is neither bound nor fed"), "webgpu")).toBeUndefined();
  });

  it.skipIf(noCuda === undefined)("a device that is not there", async () => {
    const sentence = /^the device cuda cannot be used here, but cpu can: [^\n]+$/;
    await expect(openBackend({ device: "cuda" }).compile({ y: op.neg(x) })).rejects.toThrow(sentence);
    await expect(openFile("nothing.onnx", { device: "cuda" })).rejects.toThrow(sentence);
  });

  it.skipIf(!hasAdapter)("an operation that the device cannot do, or too large a tensor", async () => {
    const [a, b] = [op.input("a", "float32", [33_000, 1]), op.input("b", "float32", [1, 33_000])];
    const program = await openBackend({ device: "webgpu" }).compile({
      y: op.reduceSum(op.reduceSum(op.exp(op.matmul(a, b)), { axis: -1 })),
    });
    const ones = (shape: readonly number[]) => ({
      dtype: "float32" as const,
      shape,
      data: new Float32Array(33_000),
    });
    await expect(program.run({ a: ones([33_000, 1]), b: ones([1, 33_000]) })).rejects.toThrow(/too little memory/);
    await program.release();
  });
});
