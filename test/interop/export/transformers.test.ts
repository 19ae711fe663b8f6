import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AutoImageProcessor, env, pipeline, RawImage } from "@huggingface/transformers";
import { beforeAll, describe, expect, it } from "vitest";
import { key, Random } from "../../../src/tensor/random.ts";
import { tensor } from "../../../src/tensor/tensor.ts";
import { augment } from "../../../src/data/augmentation/augment.ts";
import type { Pixels } from "../../../src/data/source.ts";
import { openSource } from "../../../src/data/sources/open.ts";
import { type CenterView, centerCrop } from "../../../src/data/augmentation/views.ts";
import { createEncoder } from "../../../src/evaluators/encoder.ts";
import { trainHead } from "../../../src/interop/export/head.ts";
import { huggingFaceWeights, processorConfig, writeTransformers } from "../../../src/interop/export/transformers.ts";
import { expectAllclose } from "../../helpers.ts";
import { temporaryFolder } from "../../run/temporary.ts";
import { model, randomTensor, subject, view } from "./subjects.ts";

beforeAll(() => {
  env.allowRemoteModels = false;
});

const one = { threads: 1 };
const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), "utf8")) as Record<string, unknown>;
const raw = ({ data, width, height }: Pixels) => new RawImage(new Uint8ClampedArray(data), width, height, 3);
const session_options = { intraOpNumThreads: 1 };

it.each([
  ["fp32", "model.onnx", 1e-4],
  ["fp16", "model_fp16.onnx", 1e-2],
  ["int8", "model_quantized.onnx", 0.3],
] as const)(
  "Transformers.js takes %s features from the folder without being told how",
  async (dtype, file, absolute) => {
    const dir = temporaryFolder();
    await writeTransformers(dir, subject, { dtype }, one);
    expect(readdirSync(join(dir, "onnx"))).toEqual([file]);
    const source = await openSource({ kind: "synthetic", length: 2, size: 16 });
    const encoder = await createEncoder(model, view, subject.parameters, one);
    const expected = await encoder.features(source);
    await encoder.release();
    const extract = await pipeline("image-feature-extraction", dir, { session_options });
    const pictures = await Promise.all([0, 1].map(async (i) => raw(await source.load(i))));
    const pooled = await extract(pictures, { pool: true });
    const tokens = await extract(pictures);
    await extract.dispose();
    expect([pooled.dims, tokens.dims]).toEqual([
      [2, 24],
      [2, 5, 24],
    ]);
    expectAllclose(pooled.data as Float32Array, expected.rows, { absolute, relative: 0 });
  },
);

it("Transformers.js classifies with a trained head and knows the names", async () => {
  const dir = temporaryFolder();
  const images = { kind: "synthetic", length: 120, size: 16 } as const;
  const head = await trainHead(subject, images, one);
  expect([head.trainedOn, head.testedOn, head.weight.shape]).toEqual([84, 24, [4, 24]]);
  await writeTransformers(dir, subject, { head }, one);
  const use = await pipeline("image-classification", dir, { session_options });
  const source = await openSource(images);
  const encoder = await createEncoder(model, view, subject.parameters, one);
  const { rows } = await encoder.features(source);
  await encoder.release();
  let hits = 0;
  for (let i = 0; i < 20; i++) {
    const feature = rows.subarray(24 * i, 24 * (i + 1));
    const scores = head.classes.map((_, c) =>
      feature.reduce((sum, x, j) => sum + x * head.weight.data[24 * c + j]!, head.bias.data[c]!),
    );
    const total = scores.reduce((sum, score) => sum + Math.exp(score), 0);
    const found = await use(raw(await source.load(i)), { top_k: 4 });
    for (const { label, score } of found as { label: string; score: number }[])
      expect(score).toBeCloseTo(Math.exp(scores[head.classes.indexOf(label)]!) / total, 4);
    hits += Number((found as { label: string }[])[0]!.label === source.classes[source.label(i)]);
  }
  await use.dispose();
  expect(hits).toBeGreaterThan(7); // by chance 5 of 20
});

describe("what the folder says", () => {
  it("has the names and sizes of Hugging Face's ViT", async () => {
    const dir = temporaryFolder();
    const head = {
      pooling: "cls" as const,
      weight: randomTensor("w", 2, 24),
      bias: randomTensor("b", 2),
      classes: ["cat", "dog"],
    };
    await writeTransformers(dir, subject, { head }, one);
    expect(json(dir, "config.json")).toMatchObject({
      architectures: ["ViTForImageClassification"],
      model_type: "vit",
      hidden_size: 24,
      intermediate_size: 96,
      layer_norm_eps: 1e-6,
      id2label: { 0: "cat", 1: "dog" },
      label2id: { cat: 0, dog: 1 },
      "transformers.js_config": { dtype: "fp32" },
    });
    const weights = huggingFaceWeights(subject, head);
    expect(weights.get("vit.encoder.layer.1.attention.attention.value.bias")!.data).toEqual(
      (subject.parameters.get("blocks.1.attn.qkv.bias")!.data as Float32Array).subarray(48),
    );
    expect(weights.get("vit.encoder.layer.0.attention.attention.key.weight")!.shape).toEqual([24, 24]);
    expect([...weights.keys()].filter((name) => name.includes("undefined"))).toEqual([]);
    expect(weights.size).toBe(6 + 2 * 16 + 2);
  });

  it("is refused for a classifier of averaged patches, which these libraries do not have", async () => {
    const dir = join(temporaryFolder(), "mean");
    const head = {
      pooling: "mean" as const,
      weight: randomTensor("w", 2, 24),
      bias: randomTensor("b", 2),
      classes: ["a", "b"],
    };
    await expect(writeTransformers(dir, subject, { head }, one)).rejects.toThrow("export it with --to onnx");
    expect(existsSync(dir)).toBe(false);
  });
});

/** Squares of `side` pixels, black and white by turns: the finest detail there is. */
function checkerboard(width: number, height: number, side: number): Pixels {
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const white = (Math.floor(x / side) + Math.floor(y / side)) % 2 === 1;
      data.fill(white ? 255 : 0, 3 * (y * width + x), 3 * (y * width + x + 1));
    }
  return { width, height, data };
}

/** Detail of every size, as in a photo (amplitude falls with frequency), and edges. */
function photoLike(width: number, height: number): Pixels {
  const random = new Random(key(5));
  const waves = Array.from({ length: 90 }, (_, i) => {
    const frequency = 0.004 * 1.06 ** i;
    const angle = random.uniform(0, 2 * Math.PI);
    const amplitude = Array.from({ length: 3 }, () => (0.12 / frequency ** 0.9) * random.uniform(0.3, 1));
    return { x: frequency * Math.cos(angle), y: frequency * Math.sin(angle), phase: random.uniform(0, 7), amplitude };
  });
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let channel = 0; channel < 3; channel++) {
        const edge = (x - 0.4 * width) ** 2 + (y - 0.6 * height) ** 2 < (0.25 * height) ** 2 ? 70 : 0;
        const sum = waves.reduce((all, w) => all + w.amplitude[channel]! * Math.sin(w.x * x + w.y * y + w.phase), 0);
        data[3 * (y * width + x) + channel] = Math.max(0, Math.min(255, 110 + edge + sum));
      }
  return { width, height, data };
}

/** An image as we prepare it, and as Transformers.js does in Node. */
async function bothViews(pixels: Pixels, of: CenterView, filter = {}): Promise<[Float32Array, Float32Array]> {
  const dir = temporaryFolder();
  writeFileSync(join(dir, "preprocessor_config.json"), JSON.stringify({ ...processorConfig(of), ...filter }));
  const processor = await AutoImageProcessor.from_pretrained(dir, {});
  const theirs = ((await processor(raw(pixels))) as { pixel_values: { data: Float32Array } }).pixel_values.data;
  const ours = new Float32Array(3 * of.size ** 2);
  augment(pixels, of, new Random(key(0)), ours);
  return [ours, theirs];
}

/** The mean difference of the two, in levels of 255. */
async function difference(pixels: Pixels, of: CenterView, filter = {}): Promise<number> {
  const [ours, theirs] = await bothViews(pixels, of, filter);
  const deviation = (i: number) => of.std[Math.floor(i / of.size ** 2)]! * 255;
  return ours.reduce((sum, x, i) => sum + Math.abs(x - theirs[i]!) * deviation(i), 0) / ours.length;
}

describe("Transformers.js prepares an image as the encoder was evaluated, as far as it can", () => {
  const view224 = centerCrop(224, { interpolation: "bicubic" });
  const view32 = centerCrop(32, { resize: 32, interpolation: "bicubic" });
  it.each([
    ["a fine checkerboard", checkerboard(512, 384, 1), view224, 1.5],
    ["the same, to 32 pixels", checkerboard(512, 384, 1), view32, 1],
    ["a coarser one, to 32 pixels", checkerboard(512, 384, 3), view32, 1],
    ["what is like a photo", photoLike(600, 400), view224, 1.5],
    ["the same, to 32 pixels", photoLike(600, 400), view32, 1.5],
    ["what is like a photo, upright", photoLike(300, 420), view224, 1.5],
    ["an image that is too small", photoLike(150, 120), view224, 1.5],
  ])("%s", async (_, pixels, of, bound) => {
    expect(await difference(pixels, of)).toBeLessThan(bound);
  });
  it("which it can with one filter only: in Node the others do not antialias", async () => {
    for (const resample of [2, 3])
      expect(await difference(checkerboard(512, 384, 1), view32, { resample })).toBeGreaterThan(30);
  });
  // Where a border that is cut off has an odd number of pixels, theirs is the next pixel: a shift, seen by the features.
  it("but for a shift of a pixel where the longer side leaves an odd rest", async () => {
    const pixels = photoLike(640, 427);
    const encoder = await createEncoder(model, view, subject.parameters, { ...one, batch: 2 });
    const pair = new Float32Array((await bothViews(pixels, view)).flatMap((each) => [...each]));
    const { data } = await encoder.encode(tensor("float32", [2, 3, 16, 16], pair));
    await encoder.release();
    expect(cosine(data.subarray(0, 24), data.subarray(24))).toBeGreaterThan(0.9);
  });
});

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, each, i) => sum + each * y[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
