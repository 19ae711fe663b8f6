import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { key } from "../../src/tensor/random.ts";
import { encodeSafetensors } from "../../src/tensor/safetensors.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { sinCos2d } from "../../src/nn/init.ts";
import { listCheckpoints, readCheckpoint } from "../../src/run/checkpoint.ts";
import { unpack } from "../interop/fixtures.ts";
import { temporaryFolder } from "../run/temporary.ts";
import { layergraft, writeImages } from "./layergraft.ts";

it("import says what a file is, writes a checkpoint, and never over another", async () => {
  const dir = temporaryFolder();
  unpack(dir, "moco.pth.tar");
  const { code, stdout, stderr } = await layergraft(["import", "moco.pth.tar", "--heads", "2", "--std", "0.5"], {
    cwd: dir,
  });
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout.split("\n")).toEqual([
    "moco.pth.tar (PyTorch): MoCo v3",
    "  it says     arch vit_base, epoch 300",
    "  encoder     state_dict.module.base_encoder",
    "  model       16 px, patch 4, width 16, depth 2, heads 2 (as you say)",
    "  positions   fixed, in MoCo v3's layout",
    "  feature     class token after the final norm",
    "  images      mean 0.485, 0.456, 0.406; std 0.5, 0.5, 0.5 (as you say)",
    "  loaded      30 tensors, 7,664 numbers",
    "  left out    a projector of contrast: heads start afresh (16 tensors: module.base_encoder.head.0.weight, …)",
    "  left out    the momentum encoder: --encoder momentum takes it in place of the other (46 tensors: module.momentum_encoder.cls_token, …)",
    "  left out    a predictor of contrast: heads start afresh (10 tensors: module.predictor.0.weight, …)",
    "  missing     nothing",
    "  unexpected  nothing",
    "wrote encoder.safetensors",
    "",
  ]);
  const again = await layergraft(["import", "moco.pth.tar", "--heads", "2"], { cwd: dir });
  expect([again.code, again.stderr]).toEqual([
    1,
    "layergraft: encoder.safetensors is there already; choose another --out, or remove it\n",
  ]);
  const options = ["--heads", "2", "--encoder", "momentum", "--json", "--out", "other.safetensors"];
  const json = await layergraft(["import", "moco.pth.tar", ...options], { cwd: dir });
  expect(JSON.parse(json.stdout)).toMatchObject({ layout: "mocov3", prefix: "module.momentum_encoder." });
});

describe("what cannot be imported ends with one sentence", () => {
  const sentence = async (path: string, ...options: string[]) => {
    const { code, stderr } = await layergraft(["import", path, ...options, "--out", join(temporaryFolder(), "x")]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^layergraft: [^\n]+\n$/);
    expect(stderr).toContain(path);
    return stderr;
  };

  it("files that are something else, cut off, or ask for heads", async () => {
    const dir = temporaryFolder();
    const page = join(dir, "mae.pth");
    writeFileSync(page, "<!DOCTYPE html>\n<html><body>403 Forbidden</body></html>");
    expect(await sentence(page)).toContain("it is a web page, so the download failed");
    writeFileSync(page, "weights: soon\n");
    expect(await sentence(page)).toContain('it is text ("weights: soon")');
    const cut = unpack(dir, "mae.pth", "cut.pth");
    truncateSync(cut, 20_000);
    await sentence(cut, "--heads", "2");
    const whole = unpack(dir, "mae.pth", "whole.pth");
    expect(await sentence(whole)).toContain("give --heads");
    expect(await sentence(whole, "--heads", "5")).toContain("5 heads do not divide the encoder's width of 16");
    expect(await sentence(whole, "--encoder", "teacher")).toContain("it holds one encoder, so leave out --encoder");
    expect(await sentence(join(dir, "nowhere.pth"))).toContain("there is no file");
    for (const wrong of [
      ["--std", "0"],
      ["--mean", "1,2"],
    ])
      expect((await layergraft(["import", whole, ...wrong])).code).toBe(2);
  });

  it("commands that want a checkpoint name the command that makes one", async () => {
    const path = unpack(temporaryFolder(), "mae.pth");
    const { code, stderr } = await layergraft(["evaluate", path]);
    expect([code, stderr]).toEqual([
      1,
      `layergraft: ${path} was written by PyTorch; make a checkpoint of it first: layergraft import ${path}\n`,
    ]);
  });
});

describe("pretrain --init", () => {
  const still = "--epochs 1 --batch 8 --threads 1 --no-knn --learning-rate 1e-12 --heads 2".split(" ");
  const small = ["--set", "stages.0.objective.mlpDim=16", "--set", "stages.0.objective.dim=8"];
  const weights = (path: string, name: string) => [...(readCheckpoint(path).tensors.get(name)!.data as Float32Array)];
  const difference = (a: readonly number[], b: readonly number[]) => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));

  it("takes MAE's encoder in place of the first stage, with MAE's positions, and needs the file no more", async () => {
    const dir = temporaryFolder();
    const images = await writeImages(join(dir, "images"), 16, "flat");
    const [file, out] = [unpack(dir, "mae.pth"), join(dir, "run")];
    const imported = join(dir, "encoder.safetensors");
    await layergraft(["import", file, "--heads", "2", "--out", imported]);
    const run = await layergraft(["pretrain", images, ...still, ...small, "--init", file, "--out", out]);
    expect([run.code, run.stderr]).toEqual([0, ""]);
    expect(run.stdout).toContain(`stage mim is skipped: ${file} holds a MIM encoder (MAE, encoder only)`);
    const [cl, ...more] = listCheckpoints(out);
    expect([cl, more]).toMatchObject([{ stageIndex: 1, stage: "cl", final: true }, []]);
    const table = [...sinCos2d(4, "mae")([1, 17, 16], key(0))];
    for (const encoder of ["base_encoder.", "momentum_encoder."]) {
      expect(difference(weights(cl!.path, `${encoder}pos_embed`), table)).toBeLessThan(1e-6);
      const name = "blocks.1.mlp.fc2.weight";
      expect(difference(weights(cl!.path, encoder + name), weights(imported, name))).toBeLessThan(1e-6);
    }
    const { stages } = JSON.parse(readFileSync(join(out, "recipe.json"), "utf8")) as {
      stages: { init: { path: string }[] }[];
    };
    expect(stages[0]!.init).toMatchObject([{ path: join(out, "start.safetensors") }]);

    // without its checkpoints the run begins anew, from what it kept
    rmSync(file);
    const before = readFileSync(cl!.path);
    rmSync(cl!.path);
    const resumed = await layergraft(["pretrain", "--resume", "--out", out]);
    expect([resumed.code, resumed.stderr]).toEqual([0, ""]);
    expect(readFileSync(cl!.path).equals(before)).toBe(true);
  });

  it("goes on with MAE's decoder at another size of image", async () => {
    const dir = temporaryFolder();
    const images = await writeImages(join(dir, "images"), 16, "flat");
    const file = join(dir, "full.safetensors");
    await layergraft(["import", unpack(dir, "mae-full.pth"), "--heads", "2", "--decoder-heads", "2", "--out", file]);
    const out = join(dir, "run");
    const options = ["--recipe", "mim", "--image-size", "24", "--init", file, "--out", out];
    const run = await layergraft(["pretrain", images, ...still, ...options]);
    expect([run.code, run.stderr]).toEqual([0, ""]);
    expect(run.stdout).toContain(`stage mim starts from ${file} (layergraft's own), with its decoder`);
    const [mim] = listCheckpoints(out);
    expect(readCheckpoint(mim!.path).tensors.get("pos_embed")!.shape).toEqual([1, 37, 16]);
    const next = await layergraft(["pretrain", images, ...still, "--init", mim!.path, "--dry-run"]);
    expect(next.stdout).toContain(
      `stage mim is skipped: ${mim!.path} holds a MIM encoder (layergraft's own, stage mim)`,
    );
    const name = "decoder_blocks.0.attn.qkv.weight";
    expect(difference(weights(mim!.path, name), weights(file, name))).toBeLessThan(1e-6);
    expect(JSON.parse(readCheckpoint(mim!.path).metadata["decoder"]!)).toEqual({
      decoderWidth: 16,
      decoderDepth: 1,
      decoderHeads: 2,
    });
  });

  it("starts the first stage from any other encoder; asks for one model; leaves no trace when it fails", async () => {
    const dir = temporaryFolder();
    const images = await writeImages(join(dir, "images"), 16, "flat");
    const file = unpack(dir, "lgp.pth.tar");
    const dry = (...options: string[]) =>
      layergraft(["pretrain", images, ...still, "--init", file, "--dry-run", ...options]);
    expect((await dry()).stdout).toContain(`stage mim starts from ${file} (layer-grafted pre-training`);
    expect((await dry("--model", "vit-tiny/8")).stderr).toContain(
      "holds an encoder of patch 4, width 16, depth 2, heads 2, but --model vit-tiny/8 asks for patch 8, width 192",
    );
    expect((await dry("--patch-size", "8")).stderr).toContain("but --patch-size 8 asks for patch 8");
    expect((await dry("--set", "model.depth=3")).stderr).toContain(
      "but the recipe asks for patch 4, width 16, depth 3",
    );
    const mae = unpack(dir, "mae.pth");
    const both = await layergraft(["pretrain", images, ...still, "--init", mae, "--parent", mae, "--dry-run"]);
    expect(both.stderr).toContain("takes the place of the first stage, as --parent does; give one");

    // what is found only when it is read
    const [imported, broken, out] = ["imported", "broken", "run"].map((name) => join(dir, name));
    await layergraft(["import", mae, "--heads", "2", "--out", imported!]);
    const { tensors } = readCheckpoint(imported!);
    const integers = new Map<string, Tensor>([...tensors, ["norm.bias", tensor("int32", [16])]]);
    writeFileSync(broken!, Buffer.concat(encodeSafetensors(integers)));
    const failed = await layergraft(["pretrain", images, ...still, "--init", broken!, "--out", out!]);
    expect([failed.code, failed.stderr]).toEqual([
      1,
      `layergraft: ${broken!}: tensor norm.bias has the type int32; weights are floats\n`,
    ]);
    expect(readdirSync(out!)).toEqual([]);
  });
});
