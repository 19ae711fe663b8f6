/**
 * What an exported encoder costs and loses, for docs/export.md: bytes, features, k-NN and speed by how weights are stored;
 * and what Transformers.js in Node makes of images beside our own pre-processing.
 *
 *     node dist/bench/export.js runs/demo [photo.jpg ...]
 */
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { AutoImageProcessor, env, RawImage } from "@huggingface/transformers";
import { key, Random } from "../src/tensor/random.ts";
import { tensor } from "../src/tensor/tensor.ts";
import { openModelFile } from "../src/backend/executable.ts";
import { presets } from "../src/nn/vit.ts";
import { augment } from "../src/data/augmentation/augment.ts";
import { decode } from "../src/data/formats/decode.ts";
import type { Pixels } from "../src/data/source.ts";
import { type CenterView, centerCrop } from "../src/data/augmentation/views.ts";
import { collect } from "../src/evaluators/collect.ts";
import { createEncoder, initialParameters, readEncoder } from "../src/evaluators/encoder.ts";
import type { Features } from "../src/evaluators/evaluator.ts";
import { knn } from "../src/evaluators/knn.ts";
import type { Exportable } from "../src/interop/export/model.ts";
import { exportOnnx } from "../src/interop/export/onnx.ts";
import { type StoredType, storedTypes } from "../src/interop/export/stored.ts";
import { processorConfig } from "../src/interop/export/transformers.ts";
import { questionsOf, splitsOf } from "../src/measure/questions.ts";

const [run, ...photos] = process.argv.slice(2);
if (run === undefined) throw new Error("which run? node dist/bench/export.js RUN [PHOTOS]");
const folder = mkdtempSync(join(tmpdir(), "layergraft-export-"));
const one = { threads: 1 };
try {
  const trained = readEncoder(run);
  await types(trained);
  const small = presets["vit-small/16"]!;
  await sizes("vit-small/16, untrained", {
    model: small,
    view: centerCrop(224),
    parameters: initialParameters(small, key(0)),
  });
  await preprocessing(trained);
} finally {
  rmSync(folder, { recursive: true });
}

/** The run's encoder on the emoji's subgroups. */
async function types(subject: Exportable) {
  const { model, view } = subject;
  const { source, questions } = await questionsOf({ kind: "emoji" });
  const [question] = questions as [(typeof questions)[number]];
  let exact: Features | undefined;
  for (const dtype of storedTypes) {
    const { file, bytes } = await opened(subject, dtype);
    const rowsOf = async (pixel_values: Parameters<Parameters<typeof collect>[2]["rowsOf"]>[0]) =>
      (await file.run({ pixel_values }))["pooler_output"]!.data;
    const features = await collect(source, view, { batch: 64, width: model.width, rowsOf });
    await file.release();
    exact ??= features;
    const [score] = await knn.run(splitsOf(question, features), { ...one, ks: [10] });
    const { error, cosine } = compare(features.rows, exact.rows, model.width);
    console.log(
      `${basename(run!)} ${dtype}: ${megabytes(bytes)}, relative error of features ${error.toPrecision(2)}, ` +
        `smallest cosine ${cosine.toFixed(5)}, 10-NN ${(100 * score!.value).toFixed(1)} %, of ${question.what}`,
    );
  }
}

/** Size and speed, types by turns. */
async function sizes(name: string, subject: Exportable) {
  const batch = 8;
  const { imageSize } = subject.model;
  const pixel_values = tensor("float32", [batch, 3, imageSize, imageSize]);
  const files = await Promise.all(
    storedTypes.map(async (dtype) => ({ dtype, ...(await opened(subject, dtype)), best: Infinity })),
  );
  for (let round = 0; round < 6; round++)
    for (const each of files) {
      const start = process.cpuUsage();
      await each.file.run({ pixel_values });
      const { user, system } = process.cpuUsage(start); // of one thread, so other programs do not count
      each.best = Math.min(each.best, (user + system) / 1e6);
    }
  for (const { dtype, bytes, best, file } of files) {
    await file.release();
    console.log(`${name} ${dtype}: ${megabytes(bytes)}, ${(batch / best).toFixed(1)} images per second of one core`);
  }
}

/** With the optimisations that a user gets by default. */
async function opened(subject: Exportable, dtype: StoredType) {
  const path = join(folder, `${dtype}.onnx`);
  writeFileSync(path, exportOnnx(subject, { dtype }));
  const file = await openModelFile(path, { ...one, session: { graphOptimizationLevel: "all" } });
  return { file, bytes: statSync(path).size };
}

/** Pixels and features, ours and Transformers.js' in Node: of the run's encoder, and pixels at 224 too. */
async function preprocessing({ model, view, parameters }: Exportable) {
  env.allowRemoteModels = false;
  const encoder = await createEncoder(model, view, parameters, { ...one, batch: 1 });
  const images = new Map([["checkerboard of single pixels", checkerboard(512, 384)]]);
  for (const path of photos) images.set(basename(path), await decode(path));
  for (const [name, pixels] of images) {
    const [ours, theirs] = await Promise.all(
      (await prepared(pixels, view)).map((data) =>
        encoder.encode(tensor("float32", [1, 3, view.size, view.size], data)),
      ),
    );
    const { cosine } = compare(theirs!.data, ours!.data, model.width);
    console.log(`${name}, ${pixels.width} × ${pixels.height}: cosine of features ${cosine.toFixed(4)}`);
    for (const at of [view, centerCrop(224, { interpolation: "bicubic" })]) {
      const each = await Promise.all(
        [1, 2, 3].map(async (resample) => levels(await prepared(pixels, at, resample), at)),
      );
      console.log(`  levels of 255 at ${at.size} px: ${each.join(", ")} with resample 1 (as exported), 2, 3`);
    }
  }
  await encoder.release();
}

/** An image as we prepare it, and as Transformers.js does with what we write for it, or with another filter. */
async function prepared(pixels: Pixels, view: CenterView, resample?: number): Promise<[Float32Array, Float32Array]> {
  const dir = mkdtempSync(join(folder, "processor-"));
  const filter = resample === undefined ? {} : { resample };
  writeFileSync(join(dir, "preprocessor_config.json"), JSON.stringify({ ...processorConfig(view), ...filter }));
  const processor = await AutoImageProcessor.from_pretrained(dir, {});
  const image = new RawImage(new Uint8ClampedArray(pixels.data), pixels.width, pixels.height, 3);
  const { pixel_values } = (await processor(image)) as { pixel_values: { data: Float32Array } };
  const ours = new Float32Array(3 * view.size ** 2);
  augment(pixels, view, new Random(key(0)), ours);
  return [ours, pixel_values.data];
}

function levels([ours, theirs]: [Float32Array, Float32Array], { std, size }: CenterView): string {
  const sum = ours.reduce((all, x, i) => all + Math.abs(x - theirs[i]!) * std[Math.floor(i / size ** 2)]! * 255, 0);
  return (sum / ours.length).toFixed(1);
}

/** Relative error of all rows, and the smallest cosine of a row with its like. */
function compare(found: Float32Array, exact: Float32Array, width: number): { error: number; cosine: number } {
  let [difference, size, cosine] = [0, 0, 1];
  for (let at = 0; at < exact.length; at += width) {
    let [product, a, b] = [0, 0, 0];
    for (let i = at; i < at + width; i++) {
      difference += (found[i]! - exact[i]!) ** 2;
      product += found[i]! * exact[i]!;
      a += found[i]! ** 2;
      b += exact[i]! ** 2;
    }
    size += b;
    cosine = Math.min(cosine, product / Math.sqrt(a * b));
  }
  return { error: Math.sqrt(difference / size), cosine };
}

function checkerboard(width: number, height: number): Pixels {
  const white = (i: number) => ((i % width) + Math.floor(i / width)) % 2;
  return {
    width,
    height,
    data: Uint8Array.from({ length: 3 * width * height }, (_, i) => 255 * white(Math.floor(i / 3))),
  };
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
