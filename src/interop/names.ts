/**
 * The names of other people's tensors, made timm's (encoder) and MAE's (decoder): prefixes off, the parts of Hugging Face
 * transformers', mmpretrain's and torchvision's ViT renamed, queries, keys and values joined.
 */
import { type Shape, sizeOf } from "../tensor/shape.ts";
import { shown } from "../tensor/text.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { maeDecoder } from "../objectives/mae.ts";
import type { LazyTensor } from "../run/tensor-file.ts";
import { checkNames, type StateDict, usualPlaces } from "./weights-file.ts";

/** A weight under its new name. */
export interface Weight {
  /** Its names in the file: three where queries, keys and values were apart. */
  readonly from: readonly string[];
  readonly shape: Shape;
  /** Throws when its numbers are not floats. */
  read(): Tensor<"float32">;
}

export interface NamedWeights {
  /** What stood before the encoder's names, such as `module.base_encoder.`. */
  readonly prefix: string;
  /** What `--encoder` calls it: its state dict and its prefix, `teacher.backbone`; empty where nothing stands before it. */
  readonly label: string;
  /** What the other encoders of the file are called so, and what stands before their names in the same state dict. */
  readonly alternatives: readonly { readonly label: string; readonly prefix: string | undefined }[];
  readonly dialect: Dialect;
  /** By timm's names; what stands beside the encoder under its prefix is here too, as `head.weight`. */
  readonly encoder: ReadonlyMap<string, Weight>;
  /** By MAE's names: `mask_token` and `decoder_*`. */
  readonly decoder: ReadonlyMap<string, Weight>;
  /** All other names of the state dict. */
  readonly others: readonly string[];
}

/** The name that every ViT has once, in each dialect: what stands before it is the encoder's prefix. */
const patchEmbeddings = {
  timm: "patch_embed.proj.weight",
  transformers: "embeddings.patch_embeddings.projection.weight",
  mmpretrain: "patch_embed.projection.weight",
  torchvision: "conv_proj.weight",
} as const;
export type Dialect = keyof typeof patchEmbeddings;

/** What belongs to an encoder, by timm's names. */
const ofEncoder = /^(cls_token|pos_embed|patch_embed\.|blocks\.|norm\.|fc_norm\.)/;

/**
 * Finds the encoder among the state dicts of a file; `which` says which where there are several. Throws one sentence that
 * starts with `path` when there is none, or when it must be said which.
 */
export function nameWeights(path: string, stateDicts: readonly StateDict[], which: string | undefined): NamedWeights {
  const encoders = stateDicts.flatMap(encodersIn);
  if (encoders.length === 0) throw new Error(`${path} ${whatElse(stateDicts)}`);
  const chosen = chooseEncoder(path, encoders, which);
  const { prefix, dialect, stateDict } = chosen;
  const { tensors, unread } = stateDict;
  checkNames(path, tensors);
  for (const [name, what] of unread)
    if (name.startsWith(prefix) && ofEncoder.test(rename(name.slice(prefix.length), dialect)))
      throw new Error(
        `${path}: ${shown(name)} is ${shown(what)} and no plain tensor, so the encoder cannot be read; in Python, save it as float32 tensors`,
      );
  const decoderPrefix = decoderPrefixes[dialect](prefix);
  const [encoder, decoder] = [new Map<string, Weight>(), new Map<string, Weight>()];
  const others: string[] = [];
  for (const [name, value] of tensors) {
    const own = name.startsWith(prefix) ? rename(name.slice(prefix.length), dialect) : undefined;
    const beside = name.startsWith(decoderPrefix) ? rename(name.slice(decoderPrefix.length), dialect, true) : undefined;
    if (beside !== undefined && maeDecoder.test(beside)) decoder.set(beside, weight(path, name, value));
    else if (own !== undefined) encoder.set(own, weight(path, name, value));
    else others.push(name);
  }
  const alternatives = encoders
    .filter((each) => each !== chosen)
    .map((each) => ({ label: each.label, prefix: each.stateDict === stateDict ? each.prefix : undefined }));
  return {
    prefix,
    label: chosen.label,
    alternatives,
    dialect,
    encoder: joinAttention(encoder),
    decoder: joinAttention(decoder),
    others,
  };
}

/** Where the decoder of masked image modelling is: beside the encoder, below a name of its own, in the neck. */
const decoderPrefixes: Readonly<Record<Dialect, (prefix: string) => string>> = {
  timm: (prefix) => prefix,
  transformers: (prefix) => `${prefix.replace(/vit\.$/, "")}decoder.`,
  mmpretrain: (prefix) => `${prefix.replace(/backbone\.$/, "")}neck.`,
  torchvision: (prefix) => prefix,
};

interface FoundEncoder {
  readonly stateDict: StateDict;
  readonly prefix: string;
  readonly dialect: Dialect;
  readonly label: string;
}

function encodersIn(stateDict: StateDict): FoundEncoder[] {
  const names = [...stateDict.tensors.keys(), ...stateDict.unread.keys()];
  return Object.entries(patchEmbeddings).flatMap(([dialect, weight]) =>
    names
      .filter((name) => `.${name}`.endsWith(`.${weight}`) && !name.startsWith("optimizer."))
      .map((name) => {
        const prefix = name.slice(0, -weight.length);
        const label = [stateDict.place, prefix.slice(0, -1)].filter((each) => each !== "").join(".");
        return { stateDict, prefix, dialect: dialect as Dialect, label };
      }),
  );
}

/** Words for the moving average of an encoder, which is taken only when it is asked for, or alone. */
const average = /(^|[._])(momentum|ema|target|encoder_k|key_encoder)([._]|$)/;

/** Where self-distillation has two encoders, the teacher is the one to use (DINO, iBOT). */
const student = /(^|[._])student([._]|$)/;

function chooseEncoder(path: string, encoders: readonly FoundEncoder[], which: string | undefined): FoundEncoder {
  const asked = which === undefined ? encoders : askedFor(path, encoders, which);
  const rank = ({ label }: FoundEncoder) => (student.test(label) ? 2 : 0) + (average.test(label) ? 1 : 0);
  const least = Math.min(...asked.map(rank));
  const best = asked.filter((each) => rank(each) === least);
  // state dicts come in the order in which training codes are looked through
  const first = best.filter(({ stateDict }) => stateDict === best[0]!.stateDict);
  const isUsual = usualPlaces.includes(best[0]!.stateDict.place);
  if (first.length === 1 && (best.length === 1 || isUsual)) return first[0]!;
  throw new Error(
    `${path} holds ${encoders.length} encoders (${labels(encoders)}); say which one with --encoder, such as --encoder ${best[0]!.label}`,
  );
}

/** Encoders whose label has `which` as some of its parts in a row; `base` and `momentum` are MoCo v3's. */
function askedFor(path: string, encoders: readonly FoundEncoder[], which: string): FoundEncoder[] {
  const asked = which.replace(/\.\*?$/, "").replace(/^(base|momentum)$/, "$1_encoder");
  const exact = encoders.filter(({ label }) => label === asked);
  const found = exact.length > 0 ? exact : encoders.filter(({ label }) => `.${label}.`.includes(`.${asked}.`));
  if (found.length > 0) return found;
  const there =
    encoders.length === 1 ? "it holds one encoder, so leave out --encoder" : `its encoders are ${labels(encoders)}`;
  throw new Error(`${path} has no encoder ${shown(which)}: ${there}`);
}

function labels(encoders: readonly FoundEncoder[]): string {
  return encoders.map(({ label }) => (label === "" ? "the file itself" : shown(label))).join(", ");
}

/** Files that people take for a ViT's, by a name in them. */
const otherModels: readonly (readonly [RegExp, string])[] = [
  [/lora_(A|B|down|up)\b/, "LoRA adapters, which change a model that is not in it: merge them into the model first"],
  [
    /(^|\.)(transformer\.resblocks|visual\.conv1|vision_model)\./,
    "CLIP's encoder, which has a norm before its first block",
  ],
  [/relative_position_bias_table|(^|\.)layers\.\d+\.downsample\./, "a Swin Transformer"],
  [/(^|\.)to_patch_embedding\./, "a ViT of the package vit-pytorch, which computes something else"],
  [/(^|\.)(downsample_layers\.\d|stages\.\d+\.(blocks\.)?\d+\.(dwconv|conv_dw))/, "a ConvNeXt"],
  [/(^|\.)layer1\.0\.conv1\./, "a ResNet"],
  [/(^|\.)(conv_stem|features)\.\d*\.?/, "a convolutional network"],
  [/(^|\.)(wte|word_embeddings|embed_tokens|lm_head)\./, "a language model"],
];

/** What a file without an encoder holds. */
function whatElse(stateDicts: readonly StateDict[]): string {
  const names = stateDicts.flatMap(({ tensors }) => [...tensors.keys()]);
  const other = otherModels.find(([pattern]) => names.some((name) => pattern.test(name)))?.[1];
  const some = `its ${names.length} tensors: ${names.slice(0, 3).map(shown).join(", ")}${names.length > 3 ? ", …" : ""}`;
  if (other !== undefined) return `holds ${other} (${some}); what is read here is a plain Vision Transformer`;
  const stem = names.find((name) => /patch_embed\w*\./.test(name));
  if (stem !== undefined)
    return `has no plain Vision Transformer: ${shown(stem)} belongs to an embedding that layergraft has not`;
  return (
    `has no ${patchEmbeddings.timm}, so it holds no Vision Transformer with the names of timm, MAE, MoCo v3, transformers, ` +
    `mmpretrain or torchvision (${some})`
  );
}

type Renaming = readonly (readonly [RegExp, string])[];

/** Other codes' names of the parts of an encoder, and timm's. Of transformers those of its files (version 4) and of version 5. */
const renamings: Readonly<Record<Dialect, Renaming>> = {
  timm: [],
  transformers: [
    [/^embeddings\.cls_token$/, "cls_token"],
    [/^embeddings\.position_embeddings$/, "pos_embed"],
    [/^embeddings\.patch_embeddings\.projection\./, "patch_embed.proj."],
    [/^(?:encoder\.layer|layers)\.(?=\d)/, "blocks."],
    [/^decoder_(?:encoder\.layer|layers)\.(?=\d)/, "decoder_blocks."],
    [/^layernorm\./, "norm."],
    [/\.attention\.(?:attention\.query|q_proj)\./, ".attn.q."],
    [/\.attention\.(?:attention\.key|k_proj)\./, ".attn.k."],
    [/\.attention\.(?:attention\.value|v_proj)\./, ".attn.v."],
    [/\.attention\.(?:output\.dense|o_proj)\./, ".attn.proj."],
    [/\.layernorm_before\./, ".norm1."],
    [/\.layernorm_after\./, ".norm2."],
    [/\.intermediate\.dense\./, ".mlp.fc1."],
    [/\.output\.dense\./, ".mlp.fc2."],
  ],
  mmpretrain: [
    [/^patch_embed\.projection\./, "patch_embed.proj."],
    [/^layers\.(?=\d)/, "blocks."],
    [/^(?:ln1|norm1)\./, "norm."],
    [/^(?:ln2|norm2)\./, "fc_norm."],
    [/^((?:decoder_)?blocks\.\d+)\.ln([12])\./, "$1.norm$2."],
    [/\.attn\.attn\.in_proj_(?=weight$|bias$)/, ".attn.qkv."],
    [/\.attn\.attn\.out_proj\./, ".attn.proj."],
    [/\.ffn\.layers\.0\.0\./, ".mlp.fc1."],
    [/\.ffn\.layers\.1\./, ".mlp.fc2."],
  ],
  torchvision: [
    [/^conv_proj\./, "patch_embed.proj."],
    [/^class_token$/, "cls_token"],
    [/^encoder\.pos_embedding$/, "pos_embed"],
    [/^encoder\.layers\.encoder_layer_(?=\d)/, "blocks."],
    [/^encoder\.ln\./, "norm."],
    [/^heads\./, "head."],
    [/\.ln_([12])\./, ".norm$1."],
    [/\.self_attention\.in_proj_(?=weight$|bias$)/, ".attn.qkv."],
    [/\.self_attention\.out_proj\./, ".attn.proj."],
    [/\.mlp\.(?:linear_1|0)\./, ".mlp.fc1."],
    [/\.mlp\.(?:linear_2|3)\./, ".mlp.fc2."],
  ],
};

/** A name of an encoder's part, or of a decoder's. */
function rename(name: string, dialect: Dialect, isDecoder = false): string {
  const own = renamings[dialect].reduce((result, [pattern, replacement]) => result.replace(pattern, replacement), name);
  return isDecoder && dialect === "mmpretrain" ? own.replace(/^norm\./, "decoder_norm.") : own;
}

function weight(path: string, name: string, value: LazyTensor): Weight {
  return {
    from: [name],
    shape: value.shape,
    read() {
      const { dtype, shape, data } = value.read();
      if (dtype === "float32") return { dtype, shape, data: data as Float32Array };
      if (dtype === "float64") return tensor("float32", shape, Float32Array.from(data as Float64Array));
      throw new Error(`${path}: tensor ${name} has the type ${dtype}; weights are floats`);
    },
  };
}

/** `attn.q`, `attn.k` and `attn.v` as the rows of one `attn.qkv`; what is not there in all three stays as it is. */
function joinAttention(weights: ReadonlyMap<string, Weight>): Map<string, Weight> {
  const joined = new Map<string, Weight>();
  for (const [name, value] of weights) {
    const place = /^(.*\.attn\.)[qkv](\.\w+)$/.exec(name);
    const parts = place === null ? [] : ["q", "k", "v"].map((part) => weights.get(`${place[1]}${part}${place[2]}`));
    const [q, k, v] = parts;
    if (q === undefined || k === undefined || v === undefined) joined.set(name, value);
    else joined.set(`${place![1]}qkv${place![2]}`, stack([q, k, v]));
  }
  return joined;
}

function stack(parts: readonly Weight[]): Weight {
  const [, ...inner] = parts[0]!.shape;
  const shape = [parts.reduce((sum, part) => sum + (part.shape[0] ?? 0), 0), ...inner];
  return {
    from: parts.flatMap(({ from }) => from),
    shape,
    read() {
      const data = new Float32Array(sizeOf(shape));
      let at = 0;
      for (const part of parts) {
        const rows = part.read().data;
        data.set(rows, at);
        at += rows.length;
      }
      return tensor("float32", shape, data);
    },
  };
}
