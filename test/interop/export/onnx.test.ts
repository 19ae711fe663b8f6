import { writeFileSync } from "node:fs";
import { join } from "node:path";
import ort from "onnxruntime-node";
import { env, InferenceSession, Tensor as WebTensor } from "onnxruntime-web";
import { describe, expect, it } from "vitest";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import * as op from "../../../src/graph/ops/index.ts";
import { Scope } from "../../../src/nn/scope.ts";
import { encode, patches } from "../../../src/nn/vit.ts";
import type { Value } from "../../../src/graph/value.ts";
import { createEncoder } from "../../../src/evaluators/encoder.ts";
import { type ClassifyOptions, logits } from "../../../src/objectives/classify.ts";
import { headIn } from "../../../src/interop/export/model.ts";
import { checkOnnx, exportOnnx, type OnnxOptions } from "../../../src/interop/export/onnx.ts";
import { storedTypes, toHalf } from "../../../src/interop/export/stored.ts";
import { evaluate, expectAllclose, fieldsOf, nodesOf } from "../../helpers.ts";
import { temporaryFolder } from "../../run/temporary.ts";
import { images, model, parameters, randomTensor, subject, view } from "./subjects.ts";

/** With the runtime's own options, as a user would. */
async function run(bytes: Uint8Array, { data, shape }: Tensor<"float32">) {
  const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1 });
  const results = await session.run({ pixel_values: new ort.Tensor("float32", data, shape) });
  await session.release();
  const taken = Object.entries(results).map(([name, { dims, data }]) => [
    name,
    { shape: dims, data: data as Float32Array },
  ]);
  return Object.fromEntries(taken) as Record<string, { shape: readonly number[]; data: Float32Array }>;
}

function written(bytes: Uint8Array): string {
  const path = join(temporaryFolder(), "model.onnx");
  writeFileSync(path, bytes);
  return path;
}

const close = { absolute: 1e-4, relative: 0 };
const one = { threads: 1 };

describe("features", () => {
  it.each([1, 2, 5])("of %i images are the encoder's, row by row", async (count) => {
    const pixels = await images(count);
    const encoder = await createEncoder(model, view, subject.parameters, { ...one, batch: 5 });
    const expected = await encoder.encode(pixels);
    await encoder.release();
    const { pooler_output: pooled, last_hidden_state: tokens } = await run(exportOnnx(subject), pixels);
    expect([pooled!.shape, tokens!.shape]).toEqual([
      [count, 24],
      [count, 5, 24],
    ]);
    expectAllclose(pooled!.data, expected.data, close);
    for (let i = 0; i < count; i++)
      expectAllclose(tokens!.data.subarray(i * 5 * 24, i * 5 * 24 + 24), pooled!.data.subarray(i * 24, (i + 1) * 24));
  });

  it("come with the attention of the last block where it is asked for", async () => {
    const pixels = await images(2);
    const { attentions } = await run(exportOnnx(subject, { attention: true }), pixels);
    let last: Value | undefined;
    const input = op.input("images", "float32", pixels.shape);
    const observe = { attention: (_: number, weights: Value) => void (last = weights) };
    encode(new Scope(), model, patches(input, 8), { lineage: "mae", observe });
    const { y } = await evaluate({ y: last! }, { ...feedsOf(last!), images: pixels });
    expect(attentions!.shape).toEqual([2, 2, 5, 5]);
    expectAllclose(attentions!.data, y.data, close);
  });

  it("are the same in a browser's runtime", async () => {
    env.wasm.numThreads = 1;
    const pixels = await images(2);
    for (const dtype of storedTypes) {
      const bytes = exportOnnx(subject, { dtype });
      const session = await InferenceSession.create(bytes);
      const found = await session.run({ pixel_values: new WebTensor("float32", pixels.data, pixels.shape) });
      await session.release();
      const { pooler_output: expected } = await run(bytes, pixels);
      expectAllclose(found["pooler_output"]!.data as Float32Array, expected!.data, close);
    }
  });
});

/** The encoder's parameters that a value reads. */
function feedsOf(value: Value, all: ReadonlyMap<string, Tensor> = subject.parameters): Record<string, Tensor> {
  const found: Record<string, Tensor> = {};
  const visit = (each: Value, seen: Set<Value>) => {
    if (seen.has(each)) return;
    seen.add(each);
    const name = each.attrs["name"] as string;
    if (each.inputs.length === 0 && all.has(name)) found[name] = all.get(name)!;
    for (const input of each.inputs) visit(input, seen);
  };
  visit(value, new Set());
  return found;
}

describe("a fine-tuned classifier of its own", () => {
  const names = ["cat", "dog", "frog"];
  const heads: [string, Omit<ClassifyOptions, "dropPath" | "classes">, [string, Tensor][]][] = [
    [
      "on the class token",
      { pooling: "cls" },
      [
        ["head.weight", randomTensor("w", 3, 24)],
        ["head.bias", randomTensor("b", 3)],
      ],
    ],
    [
      "on the mean of the patches",
      { pooling: "mean" },
      [
        ["head.weight", randomTensor("w", 3, 24)],
        ["head.bias", randomTensor("b", 3)],
        ["fc_norm.weight", randomTensor("nw", 24)],
        ["fc_norm.bias", randomTensor("nb", 24)],
      ],
    ],
    [
      "with a first layer",
      { pooling: "cls", firstLayer: 10 },
      [
        ["head.0.weight", randomTensor("first", 10, 24)],
        ["head.1.weight", randomTensor("w", 3, 10)],
        ["head.1.bias", randomTensor("b", 3)],
      ],
    ],
  ];
  it.each(heads)("%s", async (_, options, own) => {
    const tuned = { ...subject, parameters: new Map([...parameters(), ...own]) };
    if (options.pooling === "mean") for (const name of ["norm.weight", "norm.bias"]) tuned.parameters.delete(name);
    const head = headIn(tuned.parameters, names)!;
    expect([head.pooling, head.classes, head.weight.shape]).toEqual([options.pooling, names, [3, 24]]);
    const pixels = await images(2);
    const scores = logits(
      new Scope(),
      model,
      { ...options, classes: 3 },
      { images: op.input("images", "float32", pixels.shape) },
    );
    const { y } = await evaluate({ y: scores }, { ...feedsOf(scores, tuned.parameters), images: pixels });
    for (const attention of [false, true]) {
      const bytes = exportOnnx(tuned, { head, attention });
      const found = await run(bytes, pixels);
      expect(found["logits"]!.shape).toEqual([2, 3]);
      expect(found["attentions"]?.shape).toEqual(attention ? [2, 2, 5, 5] : undefined);
      expectAllclose(found["logits"]!.data, y.data, close);
      expect(await checkOnnx(written(bytes), tuned, { head, attention }, one)).toBeLessThan(1e-5);
    }
  });
  it("is not what a contrastive head looks like, and needs a name for every class", () => {
    const contrastive = [
      ["head.0.weight", randomTensor("f", 8, 24)],
      ["head.1.weight", randomTensor("n", 8)],
      ["head.1.bias", randomTensor("n", 8)],
    ] as const;
    expect(headIn(new Map([...parameters(), ...contrastive]), undefined)).toBeUndefined();
    const [, , own] = heads[0]!;
    expect(headIn(new Map(own), undefined)!.classes).toEqual(["class 0", "class 1", "class 2"]);
    expect(() => headIn(new Map(own), ["cat"])).toThrow("the checkpoint's head has 3 classes, but 1 names for them");
  });
});

describe("the file", () => {
  it("needs no operator outside the standard, and says how images become inputs", () => {
    const bytes = exportOnnx(subject, { origin: "runs/x, stage cl", attention: true });
    const text = (field: Uint8Array) => new TextDecoder().decode(field);
    const domains = fieldsOf(bytes)
      .filter(({ id }) => id === 8)
      .map(({ bytes: each }) =>
        fieldsOf(each)
          .map((part) => text(part.bytes))
          .join(),
      );
    expect(domains).toEqual([""]);
    const metadata = fieldsOf(bytes)
      .filter(({ id }) => id === 14)
      .map(({ bytes: each }) => fieldsOf(each).map((part) => text(part.bytes)));
    expect(Object.fromEntries(metadata)).toMatchObject({
      origin: "runs/x, stage cl",
      "image.resize_shorter_side": "16",
      "image.center_crop": "16",
      "image.interpolation": "bilinear, antialiased",
      "image.rescale": "1/255",
      "image.mean": "[0.485,0.456,0.406]",
      "image.std": "[0.229,0.224,0.225]",
    });
    expect(nodesOf(bytes).some(({ type }) => type === "Erf")).toBe(true);
  });

  it.each(["fp32", "fp16", "int8"] as const)("is of the oldest versions that its operators are in, as %s", (dtype) => {
    const bytes = Buffer.from(exportOnnx(subject, { dtype, attention: true }));
    expect([bytes[0], bytes[1]]).toEqual([1 << 3, 8]); // field 1, ir_version
    const [opset] = fieldsOf(bytes).filter(({ id }) => id === 8);
    expect(Array.from(opset!.bytes.slice(-2))).toEqual([2 << 3, 17]); // field 2, version
    expect(nodesOf(bytes).map(({ type }) => type)).not.toContain("Gelu");
  });

  it("says which parameter is missing", () => {
    const without = parameters();
    without.delete("norm.bias");
    expect(() => exportOnnx({ ...subject, parameters: without })).toThrow("the encoder needs a tensor norm.bias");
  });

  it("of another encoder does not pass the check", async () => {
    const moved = parameters();
    (moved.get("blocks.1.mlp.fc2.bias")!.data as Float32Array)[3]! += 0.01;
    const path = written(exportOnnx({ ...subject, parameters: moved }));
    await expect(checkOnnx(path, subject, {}, one)).rejects.toThrow(
      /^last_hidden_state of the exported model is not the encoder's: the relative error is 0\.0/,
    );
  });
});

describe("stored types", () => {
  it.each([
    ["fp16", 0.55, 1e-3],
    ["int8", 0.4, 5e-2],
  ] as const)("%s: fewer bytes, at most so large an error", async (dtype, share, error) => {
    const options: OnnxOptions = { dtype };
    const bytes = exportOnnx(subject, options);
    const parameterBytes = [...subject.parameters.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    const overhead = exportOnnx(subject).length - parameterBytes;
    expect(bytes.length - overhead).toBeLessThan(share * parameterBytes + 4000);
    const found = await checkOnnx(written(bytes), subject, options, one);
    expect(found).toBeGreaterThan(1e-6);
    expect(found).toBeLessThan(error);
  });

  it("a row of zeros stays one", async () => {
    const empty = parameters();
    (empty.get("blocks.0.mlp.fc1.weight")!.data as Float32Array).fill(0, 0, 24);
    const other = { ...subject, parameters: empty };
    const options: OnnxOptions = { dtype: "int8" };
    expect(await checkOnnx(written(exportOnnx(other, options)), other, options, one)).toBeLessThan(5e-2);
  });

  it.each([
    [0, 0],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [65504, 0x7bff],
    [65519.99, 0x7bff],
    [65520, 0x7c00],
    [1e9, 0x7c00],
    [-Infinity, 0xfc00],
    [NaN, 0x7e00],
    [2 ** -14, 0x0400],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000], // a tie, to even
    [1.5 * 2 ** -24, 0x0002], // a tie, to even
    [1 + 2 ** -11, 0x3c00], // a tie, to even
    [1 + 3 * 2 ** -11, 0x3c02], // a tie, to even
    [2047.75, 0x6800], // the carry reaches the exponent
  ])("half of %f", (x, bits) => expect(toHalf(x)).toBe(bits));
});
