/** Weights from elsewhere as a checkpoint of layergraft, with a report of what was taken and what was not. */
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { basename } from "node:path";
import { show } from "../tensor/shape.ts";
import { shown } from "../tensor/text.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { resizePositions } from "../nn/interpolate.ts";
import { patchCount } from "../nn/vit.ts";
import { type CenterView, centerCrop, resized } from "../data/augmentation/views.ts";
import { maeDecoder } from "../objectives/mae.ts";
import { readCheckpoint, writeWeights } from "../run/checkpoint.ts";
import { type IdentifiedWeights, identify, type Layout, layouts } from "./layouts.ts";
import { readMetadata, type WeightsMetadata } from "./metadata.ts";
import { type NamedWeights, nameWeights } from "./names.ts";
import { openWeights } from "./weights-file.ts";
import type { SampleRange } from "../data/formats/decode.ts";
import { encoderHeader } from "../evaluators/encoder.ts";

type Channels = [number, number, number];

export interface ReadOptions {
  /** Attention heads, where the file cannot tell. */
  readonly heads?: number;
  /** Of MAE's decoder (default: 16, as MAE has; a narrow decoder is left out unless this is given). */
  readonly decoderHeads?: number;
  /**
   * Which encoder, where the file holds several: its state dict, what stands before its names, or a part of that, such as
   * `momentum`, `student`, `model_ema`. Default: the one that was trained and not its moving average; DINO's teacher.
   */
  readonly encoder?: string;
  /** Normalisation that the encoder was trained with (default: what lies beside the file, else ImageNet's). */
  readonly mean?: Channels;
  readonly std?: Channels;
  /** Refuse a file of which something is missing, unexpected or of another shape. */
  readonly strict?: boolean;
}

/** What a file holds, and what becomes of it. A plain object. */
export interface ImportReport extends Omit<IdentifiedWeights, "weights" | "leftOut"> {
  readonly file: string;
  readonly format: "safetensors" | "PyTorch";
  /** What the file is, in words. */
  readonly title: string;
  /** Whether masked image modelling is the last thing that trained the encoder. */
  readonly mim: boolean;
  /** What stood before the encoder's names. */
  readonly prefix: string;
  /** What the encoder is called among those of the file: `teacher.backbone`; empty where nothing stands before its names. */
  readonly encoder: string;
  /** The other encoders of the file; the option `encoder` takes one of them. */
  readonly otherEncoders: readonly string[];
  /** Objects of Python beside the weights, with their places. */
  readonly notRead: readonly string[];
  /** What the file says of itself: arch, epoch. */
  readonly facts: Readonly<Record<string, string>>;
  readonly view: CenterView;
  /** Where mean and std come from. */
  readonly viewFrom: string;
  readonly loaded: { readonly tensors: number; readonly numbers: number };
  readonly leftOut: readonly { readonly reason: string; readonly names: readonly string[] }[];
  readonly notes: readonly string[];
}

/** A file that was understood; it is open until it is closed. */
export interface ForeignWeights {
  /** The file, where its folder was given. */
  readonly path: string;
  readonly report: ImportReport;
  /** Whether it is a checkpoint of layergraft, which needs no import. */
  readonly own: boolean;
  /** Of the images' values, in a checkpoint of layergraft that knows it. */
  readonly range: SampleRange | undefined;
  /**
   * Writes a checkpoint, for another `imageSize` with resized position embeddings, without the `decoder` if it is not wanted.
   * Throws when the path is taken.
   */
  write(path: string, options?: { imageSize?: number; decoder?: boolean }): Promise<void>;
  close(): void;
}

/** Understands a file of weights without reading most of them. Rejects with one sentence that starts with the path when it cannot be used. */
export async function openForeign(given: string, options: ReadOptions = {}): Promise<ForeignWeights> {
  const file = await openWeights(given);
  const { path } = file;
  try {
    const metadata = readMetadata(path, file.metadata);
    if (metadata.activation !== undefined && metadata.activation !== "gelu")
      throw new Error(
        `${path}: its config.json says that the activation is ${metadata.activation}; layergraft's encoders have gelu`,
      );
    const named = nameWeights(path, file.stateDicts, options.encoder);
    const facts = factsIn(file.metadata);
    const { weights, leftOut, ...identified } = identify(path, named, {
      facts: Object.entries(facts)
        .map(([key, value]) => `${key} ${value}`)
        .join(", "),
      heads: options.heads === undefined ? metadata.heads : { count: options.heads, from: "as you say" },
      decoderHeads: options.decoderHeads ?? metadata.decoderHeads,
    });
    const layout = metadata.layout ?? identified.layout;
    const { view, viewFrom } = chooseView(identified.model.imageSize, options, metadata);
    const numbers = [...weights.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const report: ImportReport = {
      file: path,
      format: file.format,
      title: metadata.own ? `layergraft's own${"stage" in facts ? `, stage ${facts["stage"]}` : ""}` : layouts[layout],
      mim: ["mae", "mae-full", "vitmae", "mmpretrain-mae"].includes(layout),
      prefix: named.prefix,
      encoder: named.label,
      otherEncoders: named.alternatives.map(({ label }) => label),
      notRead: file.notRead,
      facts,
      ...identified,
      layout,
      view,
      viewFrom,
      loaded: { tensors: weights.size, numbers },
      leftOut: [...leftOut].map(([reason, names]) => ({ reason, names })),
      notes: notesOn(path, layout, identified, named.alternatives, viewFrom),
    };
    if (options.strict === true) refuseUnlessExact(report);
    return {
      path,
      report,
      own: metadata.own,
      range: metadata.range,
      async write(target, { imageSize = report.model.imageSize, decoder = true } = {}) {
        if (existsSync(target)) throw new Error(`${target} is there already; choose another --out, or remove it`);
        const model = { ...report.model, imageSize };
        patchCount(model);
        if (metadata.own) readCheckpoint(path, () => false); // whether it is damaged
        const tensors = new Map<string, Tensor>();
        for (const [name, weight] of weights) {
          if (!decoder && maeDecoder.test(name)) continue;
          const value = weight.read();
          tensors.set(name, name.endsWith("pos_embed") ? resizePositions(value, imageSize / model.patchSize) : value);
        }
        writeWeights(target, tensors, {
          ...encoderHeader({ model, view: resized(view, imageSize), range: metadata.range }),
          layout,
          positions: report.positions,
          ...(decoder && report.decoder !== undefined ? { decoder: JSON.stringify(report.decoder) } : {}),
          source: basename(path),
          sourceSha256: await sha256Of(file.files),
        });
      },
      close: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/**
 * Writes a checkpoint of layergraft from somebody's weights: PyTorch or safetensors; MAE, MoCo v3, layer-grafted
 * pre-training, timm, transformers, mmpretrain or torchvision. `out` may not exist. Rejects with one sentence that starts with the path when the
 * file holds no plain Vision Transformer, or when how it is to be read must be given.
 */
export async function importWeights(
  path: string,
  { out, ...options }: ReadOptions & { out: string },
): Promise<ImportReport> {
  const weights = await openForeign(path, options);
  try {
    await weights.write(out);
    return weights.report;
  } finally {
    weights.close();
  }
}

/** What is worth repeating of what a file says of itself, if it is short and printable. */
function factsIn(metadata: ReadonlyMap<string, string>): Record<string, string> {
  const found = ["arch", "epoch", "args.model", "stage", "source"].map((key) => [key, metadata.get(key)] as const);
  return Object.fromEntries(
    found.filter((each): each is [string, string] => /^[\x20-\x7e]{1,100}$/.test(each[1] ?? "")),
  );
}

const imageNet = "ImageNet's, because nothing beside the file says otherwise; --mean and --std would";

function chooseView(
  size: number,
  { mean, std }: ReadOptions,
  metadata: WeightsMetadata,
): { view: CenterView; viewFrom: string } {
  const resize = metadata.crop === undefined ? {} : { resize: Math.round(size / metadata.crop) };
  const view = { ...centerCrop(size, resize), ...metadata.view };
  if (mean === undefined && std === undefined) return { view, viewFrom: metadata.viewFrom ?? imageNet };
  return { view: { ...view, mean: mean ?? view.mean, std: std ?? view.std }, viewFrom: "as you say" };
}

function notesOn(
  path: string,
  layout: Layout,
  { feature, decoder }: Pick<IdentifiedWeights, "feature" | "decoder">,
  alternatives: NamedWeights["alternatives"],
  viewFrom: string,
): string[] {
  const notes: string[] = [];
  if (layout === "mae") {
    const full = /^(mae_pretrain_vit_\w+?)(\.\w+)$/.exec(basename(path));
    const where = full === null ? "a file whose name ends with _full.pth" : `${full[1]}_full${full[2]}`;
    notes.push(`it holds the encoder only; MAE publishes the decoder with it in ${where}`);
  }
  if ((layout === "timm" || layout === "vit") && viewFrom === imageNet)
    notes.push(
      "many ViTs of timm (augreg, orig) and Google's were trained with a mean and std of 0.5: see the model's page",
    );
  if (feature === "mean")
    notes.push(
      "a new stage of training starts with a fresh final norm, because fc_norm belongs to the mean of the patches",
    );
  if (decoder !== undefined)
    notes.push("MIM can go on from it with its decoder: layergraft pretrain IMAGES --recipe mim --init FILE");
  const elsewhere = alternatives.filter(({ prefix }) => prefix === undefined).map(({ label }) => shown(label));
  if (elsewhere.length > 0)
    notes.push(
      `it holds other encoders too, which were left out: ${elsewhere.join(", ")}; --encoder ${elsewhere[0]} takes that one`,
    );
  return notes;
}

function refuseUnlessExact({ file, missing, unexpected, misshapen }: ImportReport) {
  const list = (what: string, names: readonly string[]) =>
    names.length === 0
      ? []
      : [`${what} ${names.slice(0, 5).join(", ")}${names.length > 5 ? ` and ${names.length - 5} more` : ""}`];
  const problems = [
    ...list("missing", missing),
    ...list("unexpected", unexpected),
    ...list(
      "of another shape",
      misshapen.map(({ name, expected, found }) => `${name} ${show(found)} for ${show(expected)}`),
    ),
  ];
  if (problems.length > 0) throw new Error(`${file} does not fit exactly, as --strict asks: ${problems.join("; ")}`);
}

/** Of one file, or of several one after another. */
async function sha256Of(files: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const path of files)
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}
