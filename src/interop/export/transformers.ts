/**
 * A folder as Hugging Face's libraries read it: Transformers.js from `onnx/`, Python's transformers from
 * `model.safetensors`.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { tensor, type Tensor } from "../../tensor/tensor.ts";
import type { CenterView } from "../../data/augmentation/views.ts";
import { encoderParameters } from "../../evaluators/encoder.ts";
import { writeFileAtomic } from "../../run/atomic.ts";
import { writeWeights } from "../../run/checkpoint.ts";
import { writeJson } from "../../run/json.ts";
import type { DeviceOptions } from "../../backend/device.ts";
import type { Exportable, Head } from "./model.ts";
import { checkOnnx, exportOnnx, type OnnxOptions } from "./onnx.ts";
import type { StoredType } from "./stored.ts";

/** What Transformers.js calls the types, and how it then names the file. */
const dtypes: Readonly<Record<StoredType, { readonly name: string; readonly file: string }>> = {
  fp32: { name: "fp32", file: "model.onnx" },
  fp16: { name: "fp16", file: "model_fp16.onnx" },
  int8: { name: "q8", file: "model_quantized.onnx" },
};

/**
 * Writes the folder and checks the model in it; returns the check's relative error. Throws one sentence when the head is
 * none that these libraries know.
 */
export async function writeTransformers(
  dir: string,
  subject: Exportable,
  options: OnnxOptions = {},
  where: DeviceOptions = {},
): Promise<number> {
  const { head, dtype = "fp32" } = options;
  if (head?.pooling === "mean")
    throw new Error(
      "this classifier averages the patches, but Transformers' ViT classifies the class token: export it with --to onnx",
    );
  const { name, file } = dtypes[dtype];
  const model = join(dir, "onnx", file);
  mkdirSync(join(dir, "onnx"), { recursive: true });
  writeJson(join(dir, "config.json"), configOf(subject, head, name));
  writeJson(join(dir, "preprocessor_config.json"), processorConfig(subject.view));
  writeWeights(join(dir, "model.safetensors"), huggingFaceWeights(subject, head), { format: "pt" });
  writeFileAtomic(model, exportOnnx(subject, options));
  return checkOnnx(model, subject, options, where);
}

function configOf({ model }: Exportable, head: Head | undefined, dtype: string) {
  const { imageSize, patchSize, width, depth, heads } = model;
  const named = head?.classes.map((name, i) => [i, name] as const);
  return {
    architectures: [head === undefined ? "ViTModel" : "ViTForImageClassification"],
    model_type: "vit",
    image_size: imageSize,
    patch_size: patchSize,
    num_channels: 3,
    hidden_size: width,
    num_hidden_layers: depth,
    num_attention_heads: heads,
    intermediate_size: 4 * width,
    hidden_act: "gelu",
    qkv_bias: true,
    layer_norm_eps: 1e-6,
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
    ...(named === undefined
      ? {}
      : { id2label: Object.fromEntries(named), label2id: Object.fromEntries(named.map(([i, name]) => [name, i])) }),
    "transformers.js_config": { dtype },
  };
}

/**
 * `preprocessor_config.json`. `CLIPImageProcessor` is the one that both libraries resize by the shorter side and crop with. In Node, Transformers.js
 * antialiases with Lanczos (1) alone; bilinear (2) and bicubic (3) would pick single pixels of a large image.
 */
export function processorConfig({ size, resize, mean, std }: CenterView) {
  return {
    image_processor_type: "CLIPImageProcessor",
    do_convert_rgb: true,
    do_resize: true,
    size: { shortest_edge: resize },
    resample: 1,
    do_center_crop: true,
    crop_size: { height: size, width: size },
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: mean,
    image_std: std,
  };
}

/** Names of a block's parts, timm's → Hugging Face's. */
const blockNames: Readonly<Record<string, string>> = {
  norm1: "layernorm_before",
  "attn.proj": "attention.output.dense",
  norm2: "layernorm_after",
  "mlp.fc1": "intermediate.dense",
  "mlp.fc2": "output.dense",
};
const outerNames: Readonly<Record<string, string>> = {
  cls_token: "embeddings.cls_token",
  pos_embed: "embeddings.position_embeddings",
  "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
  "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
  "norm.weight": "layernorm.weight",
  "norm.bias": "layernorm.bias",
};

/** Parameters under the names of `ViTModel`, or of `ViTForImageClassification` where there is a head. */
export function huggingFaceWeights({ model, parameters }: Exportable, head?: Head): Map<string, Tensor> {
  const prefix = head === undefined ? "" : "vit.";
  const renamed = new Map<string, Tensor>();
  for (const [name, value] of encoderParameters(model, parameters)) {
    const inBlock = /^blocks\.(\d+)\.(.+)\.(weight|bias)$/.exec(name);
    if (inBlock === null) {
      renamed.set(prefix + outerNames[name]!, value);
      continue;
    }
    const [, block, part, kind] = inBlock as unknown as [string, string, string, string];
    const layer = `${prefix}encoder.layer.${block}`;
    if (part !== "attn.qkv") renamed.set(`${layer}.${blockNames[part]!}.${kind}`, value);
    else
      for (const [i, which] of ["query", "key", "value"].entries())
        renamed.set(`${layer}.attention.attention.${which}.${kind}`, third(value as Tensor<"float32">, i));
  }
  if (head !== undefined) renamed.set("classifier.weight", head.weight).set("classifier.bias", head.bias);
  return renamed;
}

/** Part `i` of three along the first axis; the memory is shared. */
function third({ shape, data }: Tensor<"float32">, i: number): Tensor<"float32"> {
  const length = data.length / 3;
  return tensor("float32", [shape[0]! / 3, ...shape.slice(1)], data.subarray(i * length, (i + 1) * length));
}
