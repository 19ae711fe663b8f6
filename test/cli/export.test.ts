import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { loadEncoder, readEncoder } from "../../src/evaluators/encoder.ts";
import { openSource } from "../../src/data/sources/open.ts";
import { listCheckpoints, readWeights } from "../../src/run/checkpoint.ts";
import { expectAllclose } from "../helpers.ts";
import { temporary, tiny, trainHere } from "../train/tiny.ts";
import { layergraft, writeImages } from "./layergraft.ts";

let run: string;
let images: string;
beforeAll(async () => {
  run = await trainHere(tiny());
  images = await writeImages(join(temporary(), "shapes"), 96, "classes");
});

const command = (cwd: string, ...args: string[]) => layergraft(["export", ...args, "--threads", "1"], { cwd });
async function exported(cwd: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await command(cwd, ...args);
  expect([code, stderr]).toEqual([0, ""]);
  return stdout;
}

it("safetensors: the encoder alone, which layergraft reads as well", async () => {
  const cwd = temporary();
  const stdout = await exported(cwd, run, "--to", "safetensors");
  expect(readdirSync(cwd)).toEqual(["run.safetensors"]);
  expect(stdout).toContain(
    "VisionTransformer(img_size=16, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=0)",
  );
  const path = join(cwd, "run.safetensors");
  const { metadata, tensors } = readWeights(path);
  expect([...tensors.keys()].filter((name) => !name.startsWith("blocks."))).toEqual([
    "cls_token",
    "pos_embed",
    "patch_embed.proj.weight",
    "patch_embed.proj.bias",
    "norm.bias",
    "norm.weight",
  ]);
  expect(metadata).toMatchObject({
    format: "pt",
    origin: expect.stringMatching(/^run, stage cl, step 12, sha256 \w{12}$/) as string,
  });
  const source = await openSource({ kind: "synthetic", length: 3, size: 16 });
  const [before, after] = await Promise.all([run, path].map((from) => loadEncoder(from, { threads: 1 })));
  expectAllclose((await after!.features(source)).rows, (await before!.features(source)).rows);
  await Promise.all([before!.release(), after!.release()]);
});

it("onnx: of a stage, checked, and described for programs", async () => {
  const cwd = temporary();
  const args = ["--stage", "mim", "--attention", "--dtype", "int8", "--json"];
  const result = JSON.parse(await exported(cwd, run, "--to", "onnx", ...args)) as { out: string; error: number };
  expect(result).toMatchObject({ kind: "export", target: "onnx", out: "run-int8.onnx" });
  expect(result.error).toBeGreaterThan(1e-6);
  expect(readdirSync(cwd)).toEqual(["run-int8.onnx"]);
  expect(readFileSync(join(cwd, "run-int8.onnx")).includes("run, stage mim, step 12")).toBe(true);
});

it("transformers: features, or a classifier trained on labelled images, with the lines to paste", async () => {
  const cwd = temporary();
  const features = await exported(cwd, run, "--to", "transformers");
  expect(features).toContain('await pipeline("image-feature-extraction", "./run-transformers");');
  expect(features).toMatch(/^checked: the relative error of its outputs is at most \d/m);
  const classes = await exported(cwd, run, "--to", "transformers", "--classes", images, "--out", join(cwd, "shapes"));
  expect(classes).toMatch(/^classifier of 4 classes: trained on 6\d images, right for \d+\.\d % of 19 others$/m);
  expect(classes).toContain(`await pipeline("image-classification", ${JSON.stringify(join(cwd, "shapes"))});`);
  const config = JSON.parse(readFileSync(join(cwd, "shapes", "config.json"), "utf8")) as { id2label: object };
  expect(config.id2label).toEqual({ 0: "cross", 1: "disc", 2: "square", 3: "stripes" });
});

it("a fine-tuned checkpoint has a classifier and its names; its encoder can be had alone", async () => {
  const cwd = temporary();
  const settings = ["preset=small", "epochs=1"].flatMap((each) => ["--set", `fine-tune.${each}`]);
  const tune = ["--data", images, "--protocol", "fine-tune", "--encoders", "last", "--threads", "1", ...settings];
  expect(await layergraft(["evaluate", run, ...tune])).toMatchObject({ code: 0, stderr: "" });
  const tuned = join(run, "fine-tuned", "cl.safetensors");
  const stdout = await exported(cwd, tuned, "--to", "onnx");
  expect(stdout).toContain("with the checkpoint's own classifier: cross, disc, square, …");
  expect(stdout).toContain("const { logits } = await session.run(");
  expect(await exported(cwd, tuned, "--to", "onnx", "--no-head", "--force")).toContain("const { pooler_output } =");
  await exported(cwd, tuned, "--to", "safetensors");
  expect(readEncoder(join(cwd, "cl.safetensors")).parameters.has("head.weight")).toBe(false);
});

describe("bad input is told in a sentence, and nothing is written", () => {
  const sentence = async (...args: string[]) => {
    const cwd = temporary();
    const { code, stdout, stderr } = await command(cwd, ...args);
    expect([code, readdirSync(cwd)]).toEqual([1, []]);
    expect(stdout).toMatch(args.includes("--classes") ? /^\d+ images in .*classes.*\n$/ : /^$/);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    return stderr;
  };
  it("no run, no stage, no classes", async () => {
    expect(await sentence("nowhere", "--to", "onnx")).toContain("there is no run folder or checkpoint nowhere");
    expect(await sentence(run, "--to", "onnx", "--stage", "x")).toContain("has no checkpoint of a stage named x");
    const flat = await writeImages(join(temporary(), "flat"), 8, "flat");
    expect(await sentence(run, "--to", "onnx", "--classes", flat)).toContain(
      "no classifier can be trained: these images have no classes",
    );
  });
  it("what weights alone cannot have", async () => {
    for (const option of [["--attention"], ["--dtype", "fp16"], ["--classes", images]])
      expect(await sentence(run, "--to", "safetensors", ...option)).toContain(
        `${option[0]} belongs to a model that runs`,
      );
  });
  it("what is no layergraft checkpoint, and what is there already", async () => {
    const cwd = temporary();
    writeFileSync(join(cwd, "cl.onnx"), "mine");
    const again = await command(cwd, listCheckpoints(run).at(-1)!.path, "--to", "onnx", "--out", "cl.onnx");
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining("cl.onnx exists already")]);
    expect(readFileSync(join(cwd, "cl.onnx"), "utf8")).toBe("mine");
    expect(await sentence(join(cwd, "cl.onnx"), "--to", "onnx")).toContain("is not a valid safetensors file");
    expect(readdirSync(cwd)).toEqual(["cl.onnx"]);
  });
});
