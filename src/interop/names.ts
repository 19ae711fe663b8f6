/**
 * The names of other people's tensors, made timm's (encoder) and MAE's (decoder): prefixes off, the parts of Hugging Face
 * transformers' ViT and ViTMAE renamed, their queries, keys and values joined.
 */
import { type Shape, sizeOf } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { maeDecoder } from "../objectives/mae.ts";
import type { LazyTensor } from "../run/tensor-file.ts";

/** A weight under its new name. */
export interface Weight {
  /** Its names in the file: three where queries, keys and values were apart. */
  readonly from: readonly string[];
  readonly shape: Shape;
  /** Throws when its numbers are not floats. */
  read(): Tensor<"float32">;
}

/** Which of the two encoders of momentum contrast. */
export type WhichEncoder = "base" | "momentum";

export interface NamedWeights {
  /** What stood before the encoder's names, such as `module.base_encoder.`. */
  readonly prefix: string;
  readonly dialect: "timm" | "transformers";
  /** By timm's names; what stands beside the encoder under its prefix is here too, as `head.weight`. */
  readonly encoder: ReadonlyMap<string, Weight>;
  /** By MAE's names: `mask_token` and `decoder_*`. */
  readonly decoder: ReadonlyMap<string, Weight>;
  /** All other names of the file. */
  readonly others: readonly string[];
}

/** The name that every ViT has once, in both dialects: what stands before it is the encoder's prefix. */
const patchEmbeddings = {
  timm: "patch_embed.proj.weight",
  transformers: "embeddings.patch_embeddings.projection.weight",
} as const;

/** Finds the encoder among the tensors of a file. Throws one sentence that starts with `path` when there is none, or several. */
export function nameWeights(
  path: string,
  tensors: ReadonlyMap<string, LazyTensor>,
  which: WhichEncoder | undefined,
): NamedWeights {
  const { prefix, dialect } = chooseEncoder(path, [...tensors.keys()], which);
  // transformers has the decoder beside `vit.`, below a name of its own
  const decoderPrefix = dialect === "timm" ? prefix : `${prefix.replace(/vit\.$/, "")}decoder.`;
  const [encoder, decoder] = [new Map<string, Weight>(), new Map<string, Weight>()];
  const others: string[] = [];
  for (const [name, value] of tensors) {
    const own = name.startsWith(prefix) ? rename(name.slice(prefix.length), dialect) : undefined;
    const beside = name.startsWith(decoderPrefix) ? rename(name.slice(decoderPrefix.length), dialect) : undefined;
    if (beside !== undefined && maeDecoder.test(beside)) decoder.set(beside, weight(path, name, value));
    else if (own !== undefined) encoder.set(own, weight(path, name, value));
    else others.push(name);
  }
  return { prefix, dialect, encoder: joinAttention(encoder), decoder: joinAttention(decoder), others };
}

function chooseEncoder(path: string, names: readonly string[], which: WhichEncoder | undefined) {
  const found = Object.entries(patchEmbeddings).flatMap(([dialect, weight]) =>
    names
      .filter((name) => name.endsWith(weight) && !name.startsWith("optimizer."))
      .map((name) => ({ prefix: name.slice(0, -weight.length), dialect: dialect as keyof typeof patchEmbeddings })),
  );
  const branch = (kind: WhichEncoder) => found.find(({ prefix }) => prefix.endsWith(`${kind}_encoder.`));
  const chosen = branch(which ?? "base") ?? (found.length === 1 ? found[0] : undefined);
  if (chosen !== undefined && which === "momentum" && chosen !== branch("momentum"))
    throw new Error(`${path} has no momentum encoder; leave out --encoder`);
  if (chosen !== undefined) return chosen;
  if (found.length > 1)
    throw new Error(
      `${path} holds ${found.length} encoders (${found.map(({ prefix }) => `${prefix}*`).join(", ")}); save the one you want by itself`,
    );
  const stem = names.find((name) => /patch_embed\.|patch_embeddings\./.test(name));
  if (stem !== undefined)
    throw new Error(`${path} has no plain Vision Transformer: ${stem} belongs to an embedding that layergraft has not`);
  const some = names.slice(0, 3).join(", ");
  throw new Error(
    `${path} has no ${patchEmbeddings.timm}, so it holds no Vision Transformer in the layout of timm, MAE, MoCo v3 or transformers ` +
      `(its ${names.length} tensors: ${some}${names.length > 3 ? ", …" : ""})`,
  );
}

/** transformers' names, those in its files (version 4) and those of its version 5 models, and timm's. */
const renamed: readonly (readonly [RegExp, string])[] = [
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
];

function rename(name: string, dialect: keyof typeof patchEmbeddings): string {
  if (dialect === "timm") return name;
  return renamed.reduce((result, [pattern, replacement]) => result.replace(pattern, replacement), name);
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
