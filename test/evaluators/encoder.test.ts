import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { key } from "../../src/tensor/random.ts";
import { tensor } from "../../src/tensor/tensor.ts";
import * as op from "../../src/graph/ops/index.ts";
import { Scope } from "../../src/nn/scope.ts";
import { encode, patches } from "../../src/nn/vit.ts";
import { evaluationBatches } from "../../src/data/batches/evaluation.ts";
import { openSource } from "../../src/data/sources/open.ts";
import { encodePng } from "../../src/data/formats/png.ts";
import { centerCrop } from "../../src/data/augmentation/views.ts";
import { createEncoder, initialParameters, loadEncoder, pixelFeatures } from "../../src/evaluators/encoder.ts";
import { saveCheckpoint } from "../../src/run/checkpoint.ts";
import { evaluate, expectAllclose } from "../helpers.ts";
import { temporaryFolder, temporaryRun } from "../run/temporary.ts";

const model = { imageSize: 16, patchSize: 8, width: 12, depth: 2, heads: 2 };
const view = centerCrop(16, { resize: 16 });
const parameters = initialParameters(model, key(3));
const options = { threads: 1 };
const open = (length: number) => openSource({ kind: "synthetic", length, size: 16 });

describe("features", () => {
  it("are the class tokens of the graph, image by image", async () => {
    const source = await open(3);
    const encoder = await createEncoder(model, view, parameters, { ...options, batch: 2 });
    const { rows, count, width } = await encoder.features(source);
    await encoder.release();
    expect([count, width]).toEqual([3, 12]);

    const { value } = await evaluationBatches(source, view, 3).next();
    const scope = new Scope();
    const images = op.input("images", "float32", [3, 3, 16, 16]);
    const tokens = encode(scope, model, patches(images, 8), { lineage: "mae" }); // all tokens: [3, 5, 12]
    const { y } = await evaluate(
      { y: op.slice(tokens, 1, 0, 1) },
      { ...Object.fromEntries(parameters), images: value!.images },
    );
    expectAllclose(rows, y.data, { absolute: 1e-5 });
  });

  it.each([1, 3, 8])("do not depend on the batch size, %i", async (batch) => {
    const source = await open(7);
    const [one, other] = await Promise.all(
      [5, batch].map((b) => createEncoder(model, view, parameters, { batch: b, ...options })),
    );
    expectAllclose((await one!.features(source)).rows, (await other!.features(source)).rows, { absolute: 1e-5 });
    await Promise.all([one!.release(), other!.release()]);
  });

  it("of images at hand are the same, and no more than a batch are taken", async () => {
    const encoder = await createEncoder(model, view, parameters, { ...options, batch: 4 });
    const source = await open(3);
    const { value } = await evaluationBatches(source, view, 3).next();
    const { shape, data } = await encoder.encode(value!.images);
    expect(shape).toEqual([3, 12]);
    expectAllclose(data, (await encoder.features(source)).rows);
    await expect(encoder.encode(tensor("float32", [5, 3, 16, 16]))).rejects.toThrow(
      "5 images were given, but this encoder takes up to 4 at once",
    );
    await encoder.release();
  });

  it("of files: one row each; of a folder: a broken image is named and its row left empty", async () => {
    const dir = temporaryFolder();
    const source = await open(2);
    const paths = [0, 1].map((i) => join(dir, `${i}.png`));
    for (const [i, path] of paths.entries()) writeFileSync(path, await encodePng(await source.load(i)));
    const broken = join(dir, "broken.png");
    writeFileSync(broken, "not a picture");
    const encoder = await createEncoder(model, view, parameters, options);
    const { rows } = await encoder.embed(paths.toReversed());
    const expected = (await encoder.features(source)).rows;
    expectAllclose(rows, [...expected.subarray(12), ...expected.subarray(0, 12)], { absolute: 1e-5 });
    await expect(encoder.embed([...paths, broken])).rejects.toThrow(/^cannot read image .*broken\.png: /);

    const folder = await encoder.features(await openSource({ kind: "folder", path: dir }));
    expectAllclose(folder.rows, [...expected, ...Array.from({ length: 12 }, () => 0)], { absolute: 1e-5 });
    expect(folder.unreadable).toMatchObject([{ index: 2, id: "broken.png" }]);
    for (const path of paths) writeFileSync(path, "");
    await expect(encoder.features(await openSource({ kind: "folder", path: dir }))).rejects.toThrow(
      "cannot read image",
    );
    await encoder.release();
  });
});

describe("loadEncoder", () => {
  const save = (dir: string, stage: string, step: number, final: boolean, prefix = "") =>
    saveCheckpoint(dir, {
      stageIndex: stage === "mim" ? 1 : 2,
      stage,
      step,
      final,
      tensors: new Map([...parameters].map(([name, value]) => [prefix + name, value])),
      metadata: { model: JSON.stringify(model), view: JSON.stringify(view), encoder: prefix },
    }).path;

  it("takes the last stage that ended, a named one, or one file", async () => {
    const dir = temporaryRun();
    const path = save(dir, "mim", 5, true);
    save(dir, "cl", 3, true, "base_encoder.");
    save(dir, "cl", 9, false);
    for (const [from, stage] of [[dir], [dir, "mim"], [path]] as const) {
      const encoder = await loadEncoder(from, { ...options, ...(stage === undefined ? {} : { stage }) });
      expect(encoder.model).toEqual(model);
      expect(encoder.view).toEqual(view);
      expect([...encoder.parameters.keys()].sort()).toEqual([...parameters.keys()].sort());
      await encoder.release();
    }
  });

  it("keeps what stands beside the encoder under its prefix", async () => {
    const dir = temporaryRun();
    const head = tensor("float32", [2, 12]);
    const { path } = saveCheckpoint(dir, {
      stageIndex: 1,
      stage: "cl",
      step: 1,
      tensors: new Map([...parameters, ["head.0.weight", head] as const].map(([name, value]) => [`q.${name}`, value])),
      metadata: { model: JSON.stringify(model), view: JSON.stringify(view), encoder: "q." },
    });
    const encoder = await loadEncoder(path, options);
    expect(encoder.parameters.get("head.0.weight")).toEqual(head);
    await encoder.release();
  });

  it("says what is missing", async () => {
    const dir = temporaryRun();
    await expect(loadEncoder("nowhere")).rejects.toThrow("there is no run folder or checkpoint nowhere");
    await expect(loadEncoder(dir)).rejects.toThrow(`${dir} has no checkpoint`);
    save(dir, "mim", 5, true);
    await expect(loadEncoder(dir, { stage: "cl" })).rejects.toThrow(`${dir} has no checkpoint of a stage named cl`);
    const { path } = saveCheckpoint(dir, { stageIndex: 1, stage: "bare", step: 1, tensors: parameters });
    await expect(loadEncoder(path)).rejects.toThrow(/does not say what model it holds/);
    const text = join(temporaryFolder(), "x.safetensors");
    mkdirSync(join(text, ".."), { recursive: true });
    writeFileSync(text, "no");
    await expect(loadEncoder(text)).rejects.toThrow(/is not a valid safetensors file/);
  });

  it("refuses parameters that are missing or of another shape", async () => {
    const without = new Map(parameters);
    without.delete("norm.bias");
    await expect(createEncoder(model, view, without, options)).rejects.toThrow(
      "the encoder needs a tensor norm.bias, but the checkpoint has none",
    );
    const wrong = new Map([...parameters, ["norm.bias", tensor("float32", [13])] as const]);
    await expect(createEncoder(model, view, wrong, options)).rejects.toThrow(
      "norm.bias must be float32[12], but is float32[13]",
    );
  });
});

it("pixel features are the image's colours, made small", async () => {
  const source = await open(2);
  const { rows, width } = await pixelFeatures(view, 4)(source);
  expect(width).toBe(48);
  const { value } = await evaluationBatches(source, centerCrop(4, { resize: 4 }), 2).next();
  expectAllclose(rows, value!.images.data);
});
