/**
 * What a file of weights is, read off its names, shapes and values: whose layout, which model, which position embedding.
 * A ViT that computes something else than ours is refused, and what cannot be read off is asked for.
 */
import { sameShape, type Shape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import * as op from "../graph/ops/index.ts";
import { sinCos2d } from "../nn/init.ts";
import { Scope } from "../nn/scope.ts";
import { encode, type Lineage, patchCount, patches, type VitConfig } from "../nn/vit.ts";
import { mae, maeDecoder } from "../objectives/mae.ts";
import type { NamedWeights, Weight } from "./names.ts";

/** Whose files look so. */
export const layouts = {
  mae: "MAE, encoder only",
  "mae-full": "MAE with its decoder",
  mocov3: "MoCo v3",
  lgp: "layer-grafted pre-training (MoCo v3's names, MAE's position embedding)",
  "fine-tuned": "fine-tuned as MAE does: fc_norm after the mean of the patches",
  timm: "a ViT with timm's names",
  vit: "transformers' ViT",
  vitmae: "transformers' ViTMAE",
  mmpretrain: "a ViT with mmpretrain's names",
  "mmpretrain-mae": "MAE with mmpretrain's names",
  torchvision: "torchvision's ViT",
} as const;
export type Layout = keyof typeof layouts;

/** Sizes of MAE's decoder, named as in its objective. */
export interface DecoderSize {
  readonly decoderWidth: number;
  readonly decoderDepth: number;
  readonly decoderHeads: number;
}

export interface IdentifiedWeights {
  readonly layout: Layout;
  readonly model: VitConfig;
  /** How the number of heads is known. */
  readonly headsFrom: string;
  /** The fixed table of MAE or of MoCo v3, or a learned one. */
  readonly positions: Lineage | "learned";
  /** The feature: class token after the final norm, or mean of the patch tokens, then `fc_norm`. */
  readonly feature: "cls" | "mean";
  readonly decoder?: DecoderSize;
  /** Everything that the model needs, by its names: the encoder, and the decoder if it is whole. */
  readonly weights: ReadonlyMap<string, Weight>;
  /** Of the decoder. An encoder that lacks something is refused. */
  readonly missing: readonly string[];
  readonly misshapen: readonly { readonly name: string; readonly expected: Shape; readonly found: Shape }[];
  readonly unexpected: readonly string[];
  /** Left out on purpose, by reason. */
  readonly leftOut: ReadonlyMap<string, readonly string[]>;
}

/** What names and shapes do not say. */
interface Hints {
  /** What the file says of the code that wrote it, for sentences: `arch vit_small`. */
  readonly facts: string;
  readonly heads?: { readonly count: number; readonly from: string } | undefined;
  readonly decoderHeads?: number | undefined;
}

/** Throws one sentence that starts with `path` when the model is not a plain ViT, lacks something, or its heads must be given. */
export function identify(path: string, named: NamedWeights, hints: Hints): IdentifiedWeights {
  const { prefix, dialect, encoder } = named;
  const refuse = (why: string) => new Error(`${path}: ${why}`);
  refuseOtherParts(named, refuse);
  const { width, patchSize } = patchOf(encoder.get("patch_embed.proj.weight")!, prefix, refuse);
  const depth = depthOf(encoder, "blocks", width);
  const grid = gridOf(encoder, prefix, refuse);
  const feature = encoder.has("fc_norm.weight") && !encoder.has("norm.weight") ? "mean" : "cls";
  const sizes = { imageSize: grid * patchSize, patchSize, width, depth };

  const weights = new Map<string, Weight>();
  const take = (name: string, expected: Shape) => {
    const found = encoder.get(name);
    if (found === undefined) throw refuse(`it lacks ${prefix}${name}, which ${whyNeeded(name)}`);
    if (!sameShape(found.shape, expected))
      throw refuse(
        `${found.from[0]} has the shape ${show(found.shape)}, but a plain ViT of this width has ${show(expected)}`,
      );
    weights.set(name, found);
  };
  for (const [name, shape] of encoderShapes(sizes, feature)) take(name, shape);
  const isDeeper = [...encoder.keys()].some((name) => name.startsWith("blocks.") && !weights.has(name));
  if (depth === 0 || isDeeper) take(`blocks.${depth}.attn.qkv.weight`, [3 * width, width]);
  const positions = positionsIn(weights.get("pos_embed")!.read(), grid);
  const heads = headsOf(path, width, positions, hints);
  const model = { ...sizes, heads: heads.count };
  patchCount(model);

  const decoder = decoderOf(named.decoder, model, hints.decoderHeads);
  for (const [name, value] of decoder.weights) weights.set(name, value);
  const leftOut = new Map<string, string[]>(decoder.leftOut);
  const unexpected: string[] = [];
  const leave = (names: readonly string[], reason: string | undefined) => {
    if (reason !== undefined && !leftOut.has(reason)) leftOut.set(reason, []);
    (reason === undefined ? unexpected : leftOut.get(reason)!).push(...names);
  };
  for (const [name, { from }] of encoder) if (!weights.has(name)) leave(from, reasonWithin(name));
  for (const name of named.others) leave([name], reasonOutside(name, named.alternatives));
  const hasDecoder = named.decoder.size > 0;
  return {
    layout: layoutOf({
      dialect,
      prefix,
      positions,
      feature,
      hasDecoder,
      hasHead: [...encoder.keys()].some((name) => name.startsWith("head.")),
    }),
    model,
    headsFrom: heads.from,
    positions,
    feature,
    ...(decoder.size === undefined ? {} : { decoder: decoder.size }),
    weights,
    missing: decoder.missing,
    misshapen: decoder.misshapen,
    unexpected,
    leftOut,
  };
}

/** Parts of other Vision Transformers, by a pattern of their names. */
const otherParts: readonly (readonly [RegExp, string])[] = [
  [/(^|\.)(ls[12]\.gamma|gamma_?[12]|lambda_[12]|layer_scale[12]\.)/, "LayerScale"],
  [/rel_pos|relative_position/, "a relative position bias"],
  [/(^|\.)(reg_tokens?|register_tokens?|storage_tokens)$/, "register tokens"],
  [/(^|\.)(dist_token|distillation_token|head_dist\.)/, "a distillation token"],
  [/mlp\.(w12|w3|fc1_g|fc1_x|weights_in)\b/, "a gated MLP (SwiGLU)"],
  [/attn\.(q_norm|k_norm|q_ln|k_ln)\./, "norms of queries and keys"],
  [/attn\.(q_bias|v_bias)$/, "biases of queries and values alone"],
  [/^(norm_pre|pre_layrnorm|ln_pre)\./, "a norm before the first block"],
  [/^(rope|freqs|.*\brope\b)/, "rotary positions"],
  [/^patch_embed\.(?!proj\.(weight|bias)$)/, "an embedding of its own"],
];

/** What blocks may have; and a token of masked image modelling that an encoder alone does not use. */
const known = /^(blocks\.\d+\.(norm[12]|attn\.(qkv|proj)|mlp\.fc[12])\.(weight|bias)|embeddings\.mask_token)$/;

function refuseOtherParts({ encoder }: NamedWeights, refuse: (why: string) => Error) {
  for (const [name, { from }] of encoder) {
    const part = otherParts.find(([pattern]) => pattern.test(name))?.[1];
    if (part !== undefined)
      throw refuse(`${from[0]} is ${part}, which a plain Vision Transformer has not; it cannot be used here`);
    if (/^(blocks|embeddings)\./.test(name) && !known.test(name))
      throw refuse(`${from[0]} belongs to a part that a plain Vision Transformer has not; it cannot be used here`);
  }
}

function patchOf({ shape, from }: Weight, prefix: string, refuse: (why: string) => Error) {
  const [width, channels, height, across] = shape;
  if (shape.length !== 4 || width === undefined || width < 1 || channels !== 3 || height !== across || across! < 1)
    throw refuse(
      `${from[0] ?? prefix} has the shape ${show(shape)}; expected [width, 3, patch, patch]: square patches of RGB images`,
    );
  return { width, patchSize: across! };
}

function gridOf(encoder: ReadonlyMap<string, Weight>, prefix: string, refuse: (why: string) => Error): number {
  const table = encoder.get("pos_embed");
  if (table === undefined) throw refuse(`it lacks ${prefix}pos_embed, which ${whyNeeded("pos_embed")}`);
  if (!encoder.has("cls_token")) throw refuse(`it lacks ${prefix}cls_token, which ${whyNeeded("cls_token")}`);
  const grid = Math.sqrt((table.shape[1] ?? 0) - 1);
  if (table.shape.length !== 3 || table.shape[0] !== 1 || !Number.isInteger(grid) || grid < 1)
    throw refuse(
      `${table.from[0]} has the shape ${show(table.shape)}; expected [1, 1 + patches, width] with a square number of patches`,
    );
  return grid;
}

function whyNeeded(name: string): string {
  if (name === "cls_token") return "every encoder here has: features are read off the class token";
  if (name === "pos_embed") return "tells patches by their place";
  if (name.endsWith("qkv.bias")) return "a plain ViT has: attention without bias is another model";
  return "the encoder needs";
}

/**
 * Blocks from the first on whose attention has this width. Such a block has numbers in the file, so that no file can make
 * us build a graph much larger than itself.
 */
function depthOf(weights: ReadonlyMap<string, Weight>, blocks: string, width: number): number {
  let depth = 0;
  while (sameShape(weights.get(`${blocks}.${depth}.attn.qkv.weight`)?.shape ?? [], [3 * width, width])) depth++;
  return depth;
}

/** The encoder's variables, from the graph itself. */
function encoderShapes(sizes: Omit<VitConfig, "heads">, feature: "cls" | "mean"): Map<string, Shape> {
  const model = { ...sizes, heads: 1 };
  const { imageSize, patchSize } = model;
  const scope = new Scope();
  const images = op.input("images", "float32", [1, 3, imageSize, imageSize]);
  encode(scope, model, patches(images, patchSize), { lineage: "mae" });
  const named = [...scope.variables.values()].map(
    ({ name, shape }) => [feature === "mean" ? name.replace(/^norm\./, "fc_norm.") : name, shape] as const,
  );
  return new Map(named);
}

/** Fixed tables in 16 bits are off by up to 2^-9; one that was trained moves further. */
const tableTolerance = 4e-3;

function positionsIn(table: Tensor<"float32">, grid: number): Lineage | "learned" {
  if (table.shape[2]! % 4 !== 0) return "learned";
  const fits = (layout: Lineage) => {
    const expected = sinCos2d(grid, layout)(table.shape, [0, 0]);
    return table.data.every((value, i) => Math.abs(value - expected[i]!) <= tableTolerance);
  };
  return (["mae", "mocov3"] as const).find(fits) ?? "learned";
}

/** Heads by width where all codes agree; at 384 MoCo v3's own code differs. */
const usualHeads: Readonly<Record<number, number>> = { 192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16 };

function headsOf(
  path: string,
  width: number,
  positions: Lineage | "learned",
  { heads, facts }: Hints,
): { count: number; from: string } {
  const check = (count: number) => {
    if (width % count !== 0)
      throw new Error(`${path}: ${count} heads do not divide the encoder's width of ${width}; give another --heads`);
  };
  const usual = usualHeads[width];
  if (heads !== undefined) {
    check(heads.count);
    const differs = usual !== undefined && usual !== heads.count ? `; usual at this width: ${usual}` : "";
    return { count: heads.count, from: `${heads.from}${differs}` };
  }
  const said = facts === "" ? "the file does not say" : `the file, which says ${facts}, does not tell`;
  if (usual === undefined)
    throw new Error(
      `${path}: how many attention heads does this encoder have? Its width is ${width}, which is no usual one, and weights ` +
        "of any number of heads look alike: give --heads",
    );
  if (width === 384 && positions === "mocov3")
    throw new Error(
      `${path}: a ViT of width 384 has 6 heads in timm, DeiT and layer-grafted pre-training but 12 in MoCo v3's own code, and ` +
        `${said} which: give --heads 12 if MoCo v3's code wrote it, else --heads 6`,
    );
  return { count: usual, from: width === 384 ? "as in timm, DeiT and LGP" : "as every ViT of this width" };
}

interface FoundDecoder {
  readonly size?: DecoderSize;
  readonly weights: ReadonlyMap<string, Weight>;
  readonly missing: readonly string[];
  readonly misshapen: IdentifiedWeights["misshapen"];
  readonly leftOut: readonly (readonly [reason: string, names: string[]])[];
}

/** MAE's decoder, if it is whole. */
function decoderOf(found: ReadonlyMap<string, Weight>, model: VitConfig, givenHeads: number | undefined): FoundDecoder {
  const none = { weights: new Map<string, Weight>(), missing: [], misshapen: [], leftOut: [] };
  if (found.size === 0) return none;
  const names = [...found.values()].flatMap(({ from }) => from);
  const [decoderWidth] = found.get("decoder_embed.weight")?.shape ?? [];
  const decoderDepth = decoderWidth === undefined ? 0 : depthOf(found, "decoder_blocks", decoderWidth);
  if (decoderWidth === undefined || decoderDepth === 0 || decoderWidth % 4 !== 0)
    return { ...none, leftOut: [["a decoder other than MAE's", names]] };

  const shapes = decoderShapes(model, decoderWidth, decoderDepth);
  const missing = [...shapes.keys()].filter((name) => !found.has(name));
  const misshapen = [...shapes].flatMap(([name, expected]) => {
    const shape = found.get(name)?.shape;
    return shape === undefined || sameShape(shape, expected) ? [] : [{ name, expected, found: shape }];
  });
  if (missing.length > 0 || misshapen.length > 0)
    return { ...none, missing, misshapen, leftOut: [["the decoder, because it is not whole", names]] };
  const decoderHeads = givenHeads ?? (decoderWidth % 16 === 0 && decoderWidth >= 256 ? 16 : undefined);
  if (decoderHeads === undefined || decoderWidth % decoderHeads !== 0)
    return { ...none, leftOut: [[`the decoder, of width ${decoderWidth}: give --decoder-heads to keep it`, names]] };
  const named = [...shapes.keys()].map((name) => [name, found.get(name)!] as const);
  const others = [...found].filter(([name]) => !shapes.has(name)).flatMap(([, { from }]) => from);
  return {
    size: { decoderWidth, decoderDepth, decoderHeads },
    weights: new Map(named),
    missing,
    misshapen,
    leftOut: others.length === 0 ? [] : [["more than MAE's decoder has", others]],
  };
}

/** The decoder's variables, from the graph itself. */
function decoderShapes(encoder: VitConfig, decoderWidth: number, decoderDepth: number): Map<string, Shape> {
  const options = { decoderWidth, decoderDepth, decoderHeads: 1, maskRatio: 0.5, normPix: true };
  const objective = mae(encoder, options);
  const scope = new Scope();
  const batch = Object.entries(objective.fields).map(([name, shape]) => [
    name,
    op.input(name, "float32", [1, ...shape]),
  ]);
  objective.encode(scope, Object.fromEntries(batch), {});
  const own = [...scope.variables.values()].filter(({ name }) => maeDecoder.test(name));
  return new Map(own.map(({ name, shape }) => [name, shape]));
}

/** Why something under the encoder's prefix is left out; undefined where nobody knows it. */
function reasonWithin(name: string): string | undefined {
  if (/^head\.\d+\./.test(name)) return "a projector of contrast: heads start afresh";
  if (/^(head|fc|classifier|pooler|pre_logits)\./.test(name)) return "a classifier";
  return /^(embeddings\.mask_token$|decoder\.)/.test(name) ? "a decoder other than MAE's" : undefined;
}

/** Why something outside the encoder is left out; undefined where nobody knows it. */
function reasonOutside(name: string, alternatives: NamedWeights["alternatives"]): string | undefined {
  if (name.startsWith("optimizer.")) return "the optimizer's moments";
  const other = alternatives.find(({ prefix }) => prefix !== undefined && name.startsWith(prefix));
  if (other !== undefined) {
    const short = /(?:^|\.)(base|momentum)_encoder$/.exec(other.label)?.[1] ?? other.label;
    return `the ${short} encoder: --encoder ${short} takes it in place of the other`;
  }
  if (/(^|\.)predictor\./.test(name)) return "a predictor of contrast: heads start afresh";
  if (/(^|\.)(\w*projector|\w*projection_head|(dino|ibot)_head|head\.(mlp|last_layer)|neck)\./.test(name))
    return "a head of pre-training: heads start afresh";
  return /(^|\.)(classifier|pooler|head|heads|fc)\./.test(name) ? "a classifier" : undefined;
}

interface LayoutClues {
  readonly dialect: NamedWeights["dialect"];
  readonly prefix: string;
  readonly positions: Lineage | "learned";
  readonly feature: "cls" | "mean";
  readonly hasDecoder: boolean;
  readonly hasHead: boolean;
}

function layoutOf({ dialect, prefix, positions, feature, hasDecoder, hasHead }: LayoutClues): Layout {
  if (dialect === "transformers") return hasDecoder || positions === "mae" ? "vitmae" : "vit";
  if (dialect === "mmpretrain" && (hasDecoder || (positions === "mae" && !hasHead))) return "mmpretrain-mae";
  if (dialect === "mmpretrain" || dialect === "torchvision") return feature === "mean" ? "fine-tuned" : dialect;
  if (/(base|momentum)_encoder\.$/.test(prefix)) return positions === "mae" ? "lgp" : "mocov3";
  if (feature === "mean") return "fine-tuned";
  if (hasDecoder) return "mae-full";
  if (positions === "mae" && !hasHead) return "mae";
  return positions === "mocov3" ? "mocov3" : "timm";
}
