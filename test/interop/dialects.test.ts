/** The names that other codes give to the parts of a plain ViT, and what is said of models that are none. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { encodeSafetensors } from "../../src/tensor/safetensors.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { importWeights, openForeign } from "../../src/interop/import.ts";
import { openTorchFile, TorchTensor } from "../../src/interop/torch-file.ts";
import { expectAllclose } from "../helpers.ts";
import { temporaryFolder } from "../run/temporary.ts";
import { expected, featuresOf, unpack } from "./fixtures.ts";

/** The tensors of a checkpoint of timm's or MAE's names under other names. */
async function renamed(fixture: string, rename: (name: string) => string): Promise<string> {
  const dir = temporaryFolder();
  const { root, close } = await openTorchFile(unpack(dir, fixture));
  const tensors = new Map<string, Tensor>();
  const outer = root as Map<string, unknown>;
  for (const [name, value] of (outer.get("model") ?? outer.get("state_dict") ?? outer) as Map<string, unknown>)
    if (value instanceof TorchTensor) tensors.set(rename(name), value.read());
  close();
  const path = join(dir, "renamed.safetensors");
  writeFileSync(path, Buffer.concat(encodeSafetensors(tensors)));
  return path;
}

const layers = (name: string) =>
  name
    .replace("patch_embed.proj.", "patch_embed.projection.")
    .replace(/^blocks\./, "layers.")
    .replace("mlp.fc1.", "ffn.layers.0.0.")
    .replace("mlp.fc2.", "ffn.layers.1.");
const mmpretrain = (name: string) =>
  `backbone.${layers(name)
    .replace(/\.norm([12])\./, ".ln$1.")
    .replace(/^norm\./, "ln1.")
    .replace(/^fc_norm\./, "ln2.")}`;
const mmclassification = (name: string) => `backbone.${layers(name).replace(/^norm\./, "norm1.")}`;
const mmsegmentation = (name: string) =>
  mmpretrain(name)
    .replace(/\.attn\.qkv\./, ".attn.attn.in_proj_")
    .replace(/\.attn\.proj\./, ".attn.attn.out_proj.");
const torchvision = (mlp: readonly [string, string]) => (name: string) =>
  name
    .replace("patch_embed.proj.", "conv_proj.")
    .replace(/^cls_token$/, "class_token")
    .replace(/^pos_embed$/, "encoder.pos_embedding")
    .replace(/^blocks\./, "encoder.layers.encoder_layer_")
    .replace(/^norm\./, "encoder.ln.")
    .replace(/\.norm([12])\./, ".ln_$1.")
    .replace(".attn.qkv.", ".self_attention.in_proj_")
    .replace(".attn.proj.", ".self_attention.out_proj.")
    .replace("mlp.fc1.", `mlp.${mlp[0]}.`)
    .replace("mlp.fc2.", `mlp.${mlp[1]}.`)
    .replace(/^head\./, "heads.head.");

describe("features stay PyTorch's under the names of", () => {
  it.each<[string, string, (name: string) => string, string]>([
    ["mmpretrain", "timm.pth", mmpretrain, "mmpretrain"],
    ["mmpretrain, fine-tuned", "fine-tuned.pth", mmpretrain, "fine-tuned"],
    ["mmpretrain before it had its name", "timm.pth", mmclassification, "mmpretrain"],
    ["mmsegmentation", "timm.pth", mmsegmentation, "mmpretrain"],
    ["torchvision", "timm.pth", torchvision(["0", "3"]), "torchvision"],
    ["torchvision before 0.14", "timm.pth", torchvision(["linear_1", "linear_2"]), "torchvision"],
    ["timm, compiled and in parallel", "timm.pth", (name) => `module._orig_mod.${name}`, "timm"],
    [
      "timm, with wrapped blocks",
      "timm.pth",
      (name) => name.replace(/^(blocks\.\d+)\./, "$1._fsdp_wrapped_module._checkpoint_wrapped_module."),
      "timm",
    ],
  ])("%s", async (_, fixture, rename, layout) => {
    const path = await renamed(fixture, rename);
    const out = `${path}.out`;
    const report = await importWeights(path, { heads: 2, out });
    expect(report).toMatchObject({ layout, missing: [], unexpected: [], misshapen: [] });
    expectAllclose(await featuresOf(out), expected[fixture.slice(0, -4)]!, { absolute: 1e-4 });
  });
});

it("MAE of mmpretrain keeps its decoder, which is in the neck", async () => {
  const path = await renamed("mae-full.pth", (name) =>
    /^(decoder|mask)/.test(name)
      ? `neck.${layers(name.replace(/^decoder_norm\./, "ln1.")).replace(/\.norm([12])\./, ".ln$1.")}`
      : mmpretrain(name),
  );
  const weights = await openForeign(path, { heads: 2, decoderHeads: 2 });
  weights.close();
  expect(weights.report).toMatchObject({
    layout: "mmpretrain-mae",
    mim: true,
    decoder: { decoderWidth: 16, decoderHeads: 2 },
    leftOut: [],
    unexpected: [],
  });
});

it.each([
  ["backbone.layers.0.gamma1.weight", "LayerScale"],
  ["backbone.layers.0.attn.relative_position_bias_table", "a relative position bias"],
])("mmpretrain's %s is %s", async (name, why) => {
  const path = await renamed("timm.pth", (own) => (own === "head.bias" ? name : mmpretrain(own)));
  await expect(openForeign(path, { heads: 2 })).rejects.toThrow(`${name} is ${why}`);
});

it.each([
  ["visual.conv1.weight", "holds CLIP's encoder"],
  ["layers.0.blocks.0.attn.relative_position_bias_table", "holds a Swin Transformer"],
  ["to_patch_embedding.1.weight", "holds a ViT of the package vit-pytorch"],
  ["stages.0.blocks.0.conv_dw.weight", "holds a ConvNeXt"],
  ["module.layer1.0.conv1.weight", "holds a ResNet"],
  ["base_model.blocks.0.attn.qkv.lora_A.weight", "holds LoRA adapters"],
  ["model.embed_tokens.weight", "holds a language model"],
  [
    "a.weight",
    "holds no Vision Transformer with the names of timm, MAE, MoCo v3, transformers, mmpretrain or torchvision",
  ],
])("a file with %s %s", async (name, why) => {
  const path = join(temporaryFolder(), "x.safetensors");
  writeFileSync(path, Buffer.concat(encodeSafetensors(new Map([[name, tensor("float32", [1])]]))));
  await expect(openForeign(path)).rejects.toThrow(why);
});
