/** Where in a file the encoder is looked for, and which of several is taken. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { importWeights, openForeign } from "../../src/interop/import.ts";
import { openTensorFile } from "../../src/run/tensor-file.ts";
import { temporaryFolder } from "../run/temporary.ts";
import * as write from "./torch-writer.ts";
import { stateDict } from "./small-vit.ts";

const { dict, name, pickle, text, whole } = write;

type Tree = { readonly [name: string]: Tree | number | Buffer };

/** A checkpoint of dictionaries in dictionaries. */
function checkpoint(tree: Tree): string {
  const path = join(temporaryFolder(), "x.pth");
  const part = (value: Tree | number | Buffer): Buffer =>
    Buffer.isBuffer(value)
      ? value
      : typeof value === "number"
        ? whole(value)
        : dict(Object.fromEntries(Object.entries(value).map(([key, child]) => [key, part(child)])));
  writeFileSync(path, write.archive(pickle(part(tree)), { 0: Buffer.alloc(4 * 4096) }));
  return path;
}

/** A ViT's tensors of zeros in storage 0; the bias of its last norm begins with `mark`-th element, which tells them apart. */
const vit = (prefix = "") => stateDict(prefix);
const one = () => write.tensor(write.storage("0", 4096), [1]);

async function reportOn(path: string, encoder?: string) {
  const weights = await openForeign(path, { heads: 2, ...(encoder === undefined ? {} : { encoder }) });
  weights.close();
  return weights.report;
}

describe("an encoder alone is found", () => {
  it.each<[string, Tree, string]>([
    ["in the file itself", vit(), ""],
    ["below a prefix", vit("module._orig_mod.backbone."), "module.backbone"],
    ["as model_ema", { epoch: 1, model_ema: vit() }, "model_ema"],
    ["as state_dict_ema", { state_dict_ema: vit("module.") }, "state_dict_ema.module"],
    ["as teacher", { teacher: vit("backbone.") }, "teacher.backbone"],
    ["as student alone", { student: vit("backbone.") }, "student.backbone"],
    ["as a momentum encoder alone", { state_dict: vit("momentum_encoder.") }, "state_dict.momentum_encoder"],
    ["four levels deep", { a: { b: { c: { d: vit() } } } }, "a.b.c.d"],
    ["beside an optimizer with its names", { net: vit(), optimizer: { state: vit() } }, "net"],
  ])("%s", async (_, tree, encoder) => {
    expect(await reportOn(checkpoint(tree))).toMatchObject({ encoder, otherEncoders: [], unexpected: [] });
  });
});

describe("of several encoders", () => {
  it.each<[string, Tree, string, string[]]>([
    [
      "DINO's teacher",
      { student: vit("module.backbone."), teacher: vit("backbone.") },
      "teacher.backbone",
      ["student.module.backbone"],
    ],
    [
      "DINOv2's teacher",
      { model: { ...vit("student.backbone."), ...vit("teacher.backbone.") } },
      "model.teacher.backbone",
      ["model.student.backbone"],
    ],
    ["the model and not its average", { model_ema: vit(), model: vit() }, "model", ["model_ema"]],
    ["the usual place", { net: vit(), state_dict: vit() }, "state_dict", ["net"]],
    [
      "not the momentum backbone",
      { state_dict: { ...vit("momentum_backbone."), ...vit("backbone.") } },
      "state_dict.backbone",
      ["state_dict.momentum_backbone"],
    ],
    [
      "not the target",
      { state_dict: { ...vit("online_encoder."), ...vit("target_encoder.") } },
      "state_dict.online_encoder",
      ["state_dict.target_encoder"],
    ],
  ])("%s is taken", async (_, tree, encoder, otherEncoders) => {
    expect(await reportOn(checkpoint(tree))).toMatchObject({ encoder, otherEncoders });
  });

  const dino = () =>
    checkpoint({ student: vit("module.backbone."), teacher: { ...vit("backbone."), "head.mlp.0.weight": one() } });

  it("another is taken by its name, or by a part of it", async () => {
    for (const name of ["student", "student.module.backbone", "student.module.backbone.", "student.*", "module"])
      expect((await reportOn(dino(), name)).encoder).toBe("student.module.backbone");
    const moco = checkpoint({ state_dict: { ...vit("module.base_encoder."), ...vit("module.momentum_encoder.") } });
    expect((await reportOn(moco, "momentum")).encoder).toBe("state_dict.module.momentum_encoder");
    expect((await reportOn(moco, "base")).encoder).toBe("state_dict.module.base_encoder");
  });

  it("those left out are said, with how to take them", async () => {
    const { notes, leftOut } = await reportOn(dino());
    expect(notes.at(-1)).toBe(
      "it holds other encoders too, which were left out: student.module.backbone; --encoder student.module.backbone takes that one",
    );
    expect(leftOut).toEqual([{ reason: "a head of pre-training: heads start afresh", names: ["head.mlp.0.weight"] }]);
  });

  it("one must be chosen where none is the usual", async () => {
    const path = checkpoint({ state_dict: { ...vit("left."), ...vit("right.") } });
    await expect(reportOn(path)).rejects.toThrow(
      `${path} holds 2 encoders (state_dict.left, state_dict.right); say which one with --encoder, such as --encoder state_dict.left`,
    );
    expect((await reportOn(path, "right")).encoder).toBe("state_dict.right");
    await expect(reportOn(path, "up")).rejects.toThrow(
      `${path} has no encoder up: its encoders are state_dict.left, state_dict.right`,
    );
    await expect(reportOn(checkpoint(vit()), "up")).rejects.toThrow("it holds one encoder, so leave out --encoder");
  });
});

it("lists are looked through, where they are short", async () => {
  const path = join(temporaryFolder(), "x.pth");
  const save = (root: Buffer) => writeFileSync(path, write.archive(pickle(root), { 0: Buffer.alloc(4 * 4096) }));
  save(write.tuple(dict(vit("module.")), dict({ epoch: whole(3) })));
  expect((await reportOn(path)).encoder).toBe("0.module");
  save(dict({ models: write.list(dict(vit()), "N") }));
  expect((await reportOn(path)).encoder).toBe("models.0");
  save(write.list(whole(1), whole(2)));
  await expect(reportOn(path)).rejects.toThrow("nowhere in it are tensors by name (it is a list of 2)");
});

it("objects beside the weights are listed, once a kind", async () => {
  const filter = name("__main__", "exclude_bias");
  const tree = {
    model: vit(),
    config: Buffer.from(name("yacs.config", "CfgNode")),
    optimizer: { a: Buffer.from(filter), b: Buffer.from(filter) },
  };
  const { notRead } = await reportOn(checkpoint(tree));
  expect(notRead).toEqual(["config (yacs.config.CfgNode)", "optimizer.a (__main__.exclude_bias, and 1 more of it)"]);
});

it("an object in place of a tensor that the encoder needs is refused, one beside it is not", async () => {
  const quantised = Buffer.from(write.call(name("torch._utils", "_rebuild_qtensor"), "N"));
  const path = checkpoint({ model: { ...vit("module."), "module.blocks.1.attn.qkv.weight": quantised } });
  await expect(reportOn(path)).rejects.toThrow(
    `${path}: module.blocks.1.attn.qkv.weight is torch._utils._rebuild_qtensor and no plain tensor, so the encoder cannot be read`,
  );
  const stem = checkpoint({ model: { ...vit(), "patch_embed.proj.weight": quantised } });
  await expect(reportOn(stem)).rejects.toThrow("patch_embed.proj.weight is torch._utils._rebuild_qtensor");
  const beside = await reportOn(checkpoint({ model: { ...vit(), "head.weight": quantised } }));
  expect(beside.notRead).toEqual(["model.head.weight (torch._utils._rebuild_qtensor)"]);
});

it("a whole object in place of a state dict is named", async () => {
  const path = join(temporaryFolder(), "x.pth");
  writeFileSync(path, write.archive(pickle(name("timm.models", "VisionTransformer"))));
  await expect(reportOn(path)).rejects.toThrow(
    `${path} holds a whole object of Python (timm.models.VisionTransformer; save its state_dict() instead, in Python)`,
  );
  const inner = checkpoint({ model: Buffer.from(name("timm.models", "VisionTransformer")), epoch: 1 });
  await expect(reportOn(inner)).rejects.toThrow(
    "nowhere in it are tensors by name (it has model, epoch; not read: model (timm.models.VisionTransformer))",
  );
  writeFileSync(path, write.archive(pickle(text("x"))));
  await expect(reportOn(path)).rejects.toThrow("holds a string, not a state dict");
});

it("the encoder that was asked for is what is written", async () => {
  const path = checkpoint({
    model: vit(),
    model_ema: { ...vit(), "norm.bias": write.tensor(write.storage("1", 16), [16]) },
  });
  const content = Buffer.from(Float32Array.from({ length: 16 }, (_, i) => i).buffer);
  const tree = { model: vit(), model_ema: { ...vit(), "norm.bias": write.tensor(write.storage("1", 16), [16]) } };
  const part = Object.fromEntries(Object.entries(tree).map(([key, value]) => [key, dict(value)]));
  writeFileSync(path, write.archive(pickle(dict(part)), { 0: Buffer.alloc(4 * 4096), 1: content }));
  const out = join(temporaryFolder(), "out.safetensors");
  await importWeights(path, { heads: 2, encoder: "model_ema", out });
  const { tensors, close } = openTensorFile(out);
  expect([...tensors.get("norm.bias")!.read().data]).toEqual([...Array(16).keys()]);
  close();
});
