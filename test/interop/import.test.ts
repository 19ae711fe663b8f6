import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { key } from "../../src/tensor/random.ts";
import { encodeSafetensors } from "../../src/tensor/safetensors.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import * as op from "../../src/graph/ops/index.ts";
import { sinCos2d } from "../../src/nn/init.ts";
import { Scope } from "../../src/nn/scope.ts";
import { reconstruct } from "../../src/objectives/mae.ts";
import { readCheckpoint } from "../../src/run/checkpoint.ts";
import { importWeights, openForeign, type ReadOptions } from "../../src/interop/import.ts";
import { evaluate, expectAllclose } from "../helpers.ts";
import { temporaryFolder } from "../run/temporary.ts";
import { expected, featuresOf, images, model, unpack } from "./fixtures.ts";
import { vitShapes } from "./small-vit.ts";

const heads = { heads: 2 };

describe("features of what is imported are PyTorch's", () => {
  it.each<[string, string, ReadOptions, object]>([
    ["mae", "mae.pth", heads, { layout: "mae", positions: "mae", mim: true, prefix: "", leftOut: [] }],
    ["mae-full", "mae-full.pth", { ...heads, decoderHeads: 2 }, { layout: "mae-full", mim: true, leftOut: [] }],
    [
      "moco base",
      "moco.pth.tar",
      heads,
      { layout: "mocov3", positions: "mocov3", mim: false, prefix: "module.base_encoder." },
    ],
    ["moco momentum", "moco.pth.tar", { ...heads, encoder: "momentum" }, { prefix: "module.momentum_encoder." }],
    [
      "lgp base",
      "lgp.pth.tar",
      heads,
      { layout: "lgp", positions: "mae", mim: false, facts: { arch: "vit_base", epoch: "300" } },
    ],
    ["lgp momentum", "lgp.pth.tar", { ...heads, encoder: "momentum" }, { layout: "lgp" }],
    [
      "fine-tuned",
      "fine-tuned.pth",
      heads,
      { layout: "fine-tuned", positions: "learned", feature: "mean", mim: false },
    ],
    ["timm", "timm.pth", heads, { layout: "timm", positions: "learned", feature: "cls", mim: false }],
    ["vit", "vit-model.safetensors", heads, { layout: "vit", positions: "learned", mim: false, format: "safetensors" }],
    [
      "vitmae",
      "vitmae-model.safetensors",
      { ...heads, decoderHeads: 2 },
      { layout: "vitmae", positions: "mae", mim: true },
    ],
  ])("%s", async (name, fixture, options, facts) => {
    const dir = temporaryFolder();
    const out = join(dir, "encoder.safetensors");
    const report = await importWeights(unpack(dir, fixture), { ...options, out });
    expect(report).toMatchObject({ model, missing: [], unexpected: [], misshapen: [], ...facts });
    expectAllclose(await featuresOf(out), expected[name]!, { absolute: 1e-4 });
  });
});

it("ViTMAE's decoder predicts what it predicts in transformers", async () => {
  const dir = temporaryFolder();
  const out = join(dir, "encoder.safetensors");
  const path = unpack(dir, "vitmae-model.safetensors");
  const { decoder } = await importWeights(path, { ...heads, decoderHeads: 2, out });
  expect(decoder).toEqual({ decoderWidth: 16, decoderDepth: 1, decoderHeads: 2 });
  const noise = tensor(
    "float32",
    [2, 16],
    Float32Array.from({ length: 32 }, (_, i) => ((7 * (i % 16)) % 16) / 16),
  );
  const batch = { images: op.input("images", "float32", [2, 3, 16, 16]), noise: op.input("noise", "float32", [2, 16]) };
  const { prediction } = reconstruct(new Scope(), model, { ...decoder!, maskRatio: 0.75, normPix: true }, batch);
  const { y } = await evaluate(
    { y: op.slice(prediction, 2, 0, 2) },
    { ...Object.fromEntries(readCheckpoint(out).tensors), images: images(), noise },
  );
  expectAllclose(y.data, expected["vitmae prediction"]!, { absolute: 1e-4 });
});

describe("the report", () => {
  const reportOn = async (path: string, options: ReadOptions = heads) => {
    const weights = await openForeign(path, options);
    weights.close();
    return weights.report;
  };

  it("says that MAE's encoder-only file is one, and where the decoder is", async () => {
    const dir = temporaryFolder();
    const { notes, loaded } = await reportOn(unpack(dir, "mae.pth", "mae_pretrain_vit_base.pth"));
    expect(notes).toEqual([
      "it holds the encoder only; MAE publishes the decoder with it in mae_pretrain_vit_base_full.pth",
    ]);
    expect(loaded).toEqual({ tensors: 30, numbers: 7664 });
  });

  it("names what it left out, and why", async () => {
    const { leftOut } = await reportOn(unpack(temporaryFolder(), "moco.pth.tar"));
    const reasons = leftOut.map(({ reason, names }) => [reason.split(":")[0], names[0]]);
    expect(reasons).toEqual([
      ["a projector of contrast", "module.base_encoder.head.0.weight"],
      ["the momentum encoder", "module.momentum_encoder.cls_token"],
      ["a predictor of contrast", "module.predictor.0.weight"],
    ]);
  });

  it("leaves a narrow decoder out unless its heads are told", async () => {
    const { decoder, leftOut } = await reportOn(unpack(temporaryFolder(), "mae-full.pth"));
    expect(decoder).toBeUndefined();
    expect(leftOut[0]!.reason).toBe("the decoder, of width 16: give --decoder-heads to keep it");
  });

  it("reads heads, mean and std beside a file of the hub", async () => {
    const dir = temporaryFolder();
    const path = unpack(dir, "vitmae-model.safetensors", "model.safetensors");
    unpack(dir, "vitmae-config.json", "config.json");
    expect(await reportOn(path, {})).toMatchObject({
      model,
      headsFrom: "config.json beside the file says so",
      decoder: { decoderHeads: 2 },
      view: { mean: [0.485, 0.456, 0.406], size: 16 },
    });
    writeFileSync(
      join(dir, "preprocessor_config.json"),
      JSON.stringify({ image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5], resample: 3 }),
    );
    expect(await reportOn(path, {})).toMatchObject({
      view: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], resize: 16, interpolation: "bicubic" },
      viewFrom: "preprocessor_config.json beside the file says so",
    });
    const mean: [number, number, number] = [0.1, 0.2, 0.3];
    expect(await reportOn(path, { mean })).toMatchObject({
      view: { mean, std: [0.5, 0.5, 0.5] },
      viewFrom: "as you say",
    });
    const config = JSON.parse(readFileSync(join(dir, "config.json"), "utf8")) as object;
    writeFileSync(join(dir, "config.json"), JSON.stringify({ ...config, hidden_act: "quick_gelu" }));
    await expect(reportOn(path, {})).rejects.toThrow("its config.json says that the activation is quick_gelu");
  });

  it("of a checkpoint of layergraft knows everything, and once imported, a file stays what it was", async () => {
    const dir = temporaryFolder();
    const [first, second] = [join(dir, "1.safetensors"), join(dir, "2.safetensors")];
    await importWeights(unpack(dir, "lgp.pth.tar"), { ...heads, out: first });
    expect(await importWeights(first, { out: second })).toMatchObject({ model, layout: "lgp", mim: false });
    const [{ metadata: before }, { metadata: after }] = [readCheckpoint(first), readCheckpoint(second)];
    expect(after).toEqual({ ...before, source: "1.safetensors", sourceSha256: after["sourceSha256"] });
    await expect(importWeights(first, { out: second })).rejects.toThrow("is there already; choose another --out");
  });

  it("--strict refuses what does not fit exactly", async () => {
    const path = write({ ...vitShapes(), "neck.weight": [3] });
    expect(await reportOn(path)).toMatchObject({ unexpected: ["neck.weight"] });
    await expect(reportOn(path, { ...heads, strict: true })).rejects.toThrow(
      "does not fit exactly, as --strict asks: unexpected neck.weight",
    );
    const cut = write({
      ...vitShapes(),
      "decoder_embed.weight": [16, 16],
      "decoder_blocks.0.attn.qkv.weight": [48, 16],
      "decoder_blocks.0.norm1.weight": [15],
    });
    await expect(reportOn(cut, { ...heads, strict: true })).rejects.toThrow(
      /missing decoder_embed.bias, mask_token, .* and \d+ more; of another shape decoder_blocks.0.norm1.weight \[15\] for \[16\]/,
    );
  });
});

it("another image size interpolates the position embedding", async () => {
  const dir = temporaryFolder();
  const weights = await openForeign(unpack(dir, "mae-full.pth"), { ...heads, decoderHeads: 2 });
  const out = join(dir, "larger.safetensors");
  await weights.write(out, { imageSize: 24, decoder: false });
  weights.close();
  const { tensors, metadata } = readCheckpoint(out);
  expect(tensors.get("pos_embed")!.shape).toEqual([1, 37, 16]);
  expect([...tensors.keys()].filter((name) => name.includes("decoder"))).toEqual([]);
  expect(JSON.parse(metadata["model"]!)).toEqual({ ...model, imageSize: 24 });
  expect(JSON.parse(metadata["view"]!)).toMatchObject({ size: 24, resize: 27 });
});

describe("heads", () => {
  const headsOf = async (width: number, table: "learned" | "mae" | "mocov3", options: ReadOptions = {}) => {
    const weights = await openForeign(write(vitShapes({ width }), table), options);
    weights.close();
    const {
      model: { heads: count },
      headsFrom,
    } = weights.report;
    return `${count} ${headsFrom}`;
  };

  it("are known by width, and by the code that wrote a ViT-S", async () => {
    expect(await headsOf(192, "learned")).toBe("3 as every ViT of this width");
    expect(await headsOf(384, "learned")).toBe("6 as in timm, DeiT and LGP");
    expect(await headsOf(384, "mae")).toBe("6 as in timm, DeiT and LGP");
    expect(await headsOf(384, "mocov3", { heads: 12 })).toBe("12 as you say; usual at this width: 6");
  });

  it("are asked for where they are not", async () => {
    await expect(headsOf(384, "mocov3")).rejects.toThrow("give --heads 12 if MoCo v3's code wrote it, else --heads 6");
    await expect(headsOf(16, "mae")).rejects.toThrow(
      "how many attention heads does this encoder have? Its width is 16",
    );
    await expect(headsOf(16, "mae", { heads: 3 })).rejects.toThrow("3 heads do not divide the encoder's width of 16");
  });
});

describe("what is not a plain ViT is refused by name", () => {
  const without = (name: string) => Object.fromEntries(Object.entries(vitShapes()).filter(([key]) => key !== name));
  it.each<[Record<string, number[]>, string]>([
    [{ ...vitShapes(), "blocks.0.ls1.gamma": [16] }, "blocks.0.ls1.gamma is LayerScale"],
    [{ ...vitShapes(), "blocks.1.attn.relative_position_bias_table": [9, 2] }, "is a relative position bias"],
    [{ ...vitShapes(), reg_token: [1, 4, 16] }, "reg_token is register tokens"],
    [{ ...vitShapes(), dist_token: [1, 1, 16] }, "dist_token is a distillation token"],
    [{ ...vitShapes(), "blocks.0.mlp.w12.weight": [64, 16] }, "blocks.0.mlp.w12.weight is a gated MLP"],
    [{ ...vitShapes(), "blocks.0.attn.q_norm.weight": [8] }, "is norms of queries and keys"],
    [{ ...vitShapes(), "blocks.0.attn.temperature": [2] }, "blocks.0.attn.temperature belongs to a part"],
    [without("cls_token"), "it lacks cls_token, which every encoder here has"],
    [without("pos_embed"), "it lacks pos_embed"],
    [without("blocks.1.attn.qkv.bias"), "it lacks blocks.1.attn.qkv.bias, which a plain ViT has"],
    [without("blocks.0.norm1.weight"), "it lacks blocks.0.norm1.weight"],
    [without("blocks.0.attn.qkv.weight"), "it lacks blocks.0.attn.qkv.weight"],
    [{ ...vitShapes(), "blocks.3.norm1.weight": [16] }, "it lacks blocks.2.attn.qkv.weight"],
    [
      { ...vitShapes(), "blocks.1.attn.qkv.weight": [32, 16] },
      "has the shape [32,16], but a plain ViT of this width has [48,16]",
    ],
    [{ ...vitShapes(), pos_embed: [1, 16, 16] }, "pos_embed has the shape [1,16,16]; expected [1, 1 + patches, width]"],
    [{ ...vitShapes(), "patch_embed.proj.weight": [16, 1, 4, 4] }, "square patches of RGB images"],
    [{ ...vitShapes(), "blocks.0.mlp.fc1.weight": [32, 16] }, "but a plain ViT of this width has [64,16]"],
    [{ "conv1.weight": [4, 3, 7, 7], "fc.weight": [2, 4] }, "it holds no Vision Transformer"],
    [
      { "patch_embed.proj.0.weight": [4, 3, 3, 3] },
      "patch_embed.proj.0.weight belongs to an embedding that layergraft has not",
    ],
    [prefixed("left.", "right."), "holds 2 encoders (left, right)"],
  ])("%#: %s", async (shapes, why) => {
    const path = write(shapes);
    await expect(openForeign(path, heads)).rejects.toThrow(why);
    await expect(openForeign(path, heads)).rejects.toThrow(path);
  });

  it("integers, and an encoder that is not there", async () => {
    const path = join(temporaryFolder(), "x.safetensors");
    const all = tensorsOf(vitShapes());
    all.set("norm.bias", tensor("int32", [16]));
    writeFileSync(path, Buffer.concat(encodeSafetensors(all)));
    return Promise.all([
      expect(importWeights(path, { ...heads, out: `${path}.out` })).rejects.toThrow(
        "tensor norm.bias has the type int32",
      ),
      expect(importWeights(path, { ...heads, encoder: "momentum", out: "x" })).rejects.toThrow(
        "has no encoder momentum",
      ),
    ]);
  });
});

it("a small file cannot ask for a large model", async () => {
  const wide = write({
    ...vitShapes(),
    "patch_embed.proj.weight": [2 ** 16, 3, 1, 1],
    "blocks.9999.norm1.weight": [1],
  });
  await expect(openForeign(wide, heads)).rejects.toThrow("cls_token has the shape [1,1,16]");
});

describe("files that hold no weights", () => {
  it.each([
    ["<!DOCTYPE html><html>Not found</html>", "it is a web page, so the download failed"],
    ["version https://git-lfs.github.com/spec/v1\noid sha256:ab", "it is a Git LFS pointer"],
    ["epoch,loss\n1,2", 'it is text ("epoch,loss")'],
    ["", "is empty"],
  ])("%j", async (text, why) => {
    const path = join(temporaryFolder(), "weights.pth");
    writeFileSync(path, text);
    await expect(openForeign(path)).rejects.toThrow(why);
  });

  it.each(["vit-model.safetensors", "mae.pth", "lgp.pth.tar"])("%s that was cut off", async (name) => {
    for (const length of [9, 600, 20_000]) {
      const path = unpack(temporaryFolder(), name);
      truncateSync(path, length);
      await expect(openForeign(path, heads)).rejects.toThrow(path);
    }
  });

  it("folders and nothing", async () => {
    await expect(openForeign("nowhere.pth")).rejects.toThrow("there is no file nowhere.pth");
    await expect(openForeign(temporaryFolder())).rejects.toThrow("is a folder without a file of weights");
  });
});

function prefixed(...prefixes: string[]): Record<string, number[]> {
  return Object.fromEntries(
    prefixes.flatMap((prefix) => Object.entries(vitShapes()).map(([name, shape]) => [prefix + name, shape] as const)),
  );
}

describe("models in folders and in several files", () => {
  /** A folder of these files; each has the tensors whose names pass. */
  const folder = (files: Record<string, (name: string) => boolean>) => {
    const dir = temporaryFolder();
    for (const [file, keep] of Object.entries(files)) {
      const tensors = new Map([...tensorsOf(vitShapes())].filter(([name]) => keep(name)));
      writeFileSync(join(dir, file), Buffer.concat(encodeSafetensors(tensors)));
    }
    return dir;
  };
  const [early, late] = [(name: string) => name < "blocks.1", (name: string) => name >= "blocks.1"];
  const parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
  const inParts = () => folder({ [parts[0]]: early, [parts[1]]: late });
  const writeIndex = (dir: string, map: Record<string, string>, name = "model.safetensors.index.json") => {
    writeFileSync(join(dir, name), JSON.stringify({ metadata: {}, weight_map: map }));
    return join(dir, name);
  };
  const names = Object.fromEntries(Object.keys(vitShapes()).map((name) => [name, parts[early(name) ? 0 : 1]]));

  it("are read through their index, or as the one model of a folder", async () => {
    const dir = inParts();
    const path = writeIndex(dir, names);
    writeFileSync(join(dir, "config.json"), JSON.stringify({ num_attention_heads: 2 }));
    const out = join(temporaryFolder(), "out.safetensors");
    expect(await importWeights(dir, { out })).toMatchObject({
      file: path,
      format: "safetensors",
      model,
      unexpected: [],
    });
    expect(readCheckpoint(out).tensors.get("pos_embed")!.data).toEqual(tensorsOf(vitShapes()).get("pos_embed")!.data);
    const single = folder({ "encoder.safetensors": () => true, "model-00001-of-00001.bin": () => false });
    (await openForeign(single, heads)).close();
    const hub = folder({ "model.safetensors": () => true, "pytorch_model.bin": () => true });
    const weights = await openForeign(hub, heads);
    weights.close();
    expect(weights.path).toBe(join(hub, "model.safetensors"));
  });

  it("say what is missing", async () => {
    const dir = inParts();
    const part = join(dir, parts[1]);
    await expect(openForeign(part)).rejects.toThrow(
      `${part} is part 2 of a model in 2 files: put all of them and their index, model.safetensors.index.json, into one folder`,
    );
    await expect(openForeign(dir)).rejects.toThrow("is part 1 of a model in 2 files");
    const path = writeIndex(dir, { ...names, "head.weight": "model-00003.safetensors" });
    await expect(openForeign(part)).rejects.toThrow(`give their index, ${path}`);
    await expect(openForeign(path, heads)).rejects.toThrow(
      `${path} needs 3 files, of which 1 is not beside it: model-00003.safetensors; get it too`,
    );
    writeIndex(dir, { ...names, "head.weight": parts[0] });
    await expect(openForeign(path, heads)).rejects.toThrow(
      `${path} says that head.weight is in ${join(dir, parts[0])}`,
    );
    writeIndex(dir, { a: "../../etc/passwd" });
    await expect(openForeign(path)).rejects.toThrow("names the file ../../etc/passwd; parts lie beside their index");
    writeIndex(dir, {});
    await expect(openForeign(path)).rejects.toThrow(`${path} names no tensors`);
    writeFileSync(path, "{}");
    await expect(openForeign(path)).rejects.toThrow(`${path} is not as expected at weight_map`);
  });

  it("are asked for where there are several", async () => {
    const dir = folder({ "a.safetensors": () => true, "b.pth": () => true });
    await expect(openForeign(dir)).rejects.toThrow(
      `${dir} is a folder of 2 files of weights (a.safetensors, b.pth); give one of them`,
    );
    const run = folder({ "recipe.json": () => false, "environment.json": () => false, checkpoints: () => false });
    await expect(openForeign(run)).rejects.toThrow(`is a run folder; give a checkpoint in ${join(run, "checkpoints")}`);
  });
});

/** Zeros, but for the position embedding. */
function tensorsOf(shapes: Record<string, number[]>, table: "learned" | "mae" | "mocov3" = "mae"): Map<string, Tensor> {
  const all = new Map<string, Tensor>(Object.entries(shapes).map(([name, shape]) => [name, tensor("float32", shape)]));
  const positions = all.get("pos_embed");
  if (positions?.shape[1] === 17 && table !== "learned")
    all.set("pos_embed", tensor("float32", positions.shape, sinCos2d(4, table)(positions.shape, key(0))));
  return all;
}

/** A safetensors file of such tensors. */
function write(shapes: Record<string, number[]>, table?: "learned" | "mae" | "mocov3"): string {
  const path = join(temporaryFolder(), "weights.safetensors");
  writeFileSync(path, Buffer.concat(encodeSafetensors(tensorsOf(shapes, table))));
  return path;
}
