/** A trained encoder, ready to use: from a run folder or a checkpoint file to features. */
import { existsSync, statSync } from "node:fs";
import { type Key } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import * as op from "../graph/ops/index.ts";
import type { Backend, Handle } from "../backend/backend.ts";
import type { DeviceOptions } from "../backend/device.ts";
import { openBackend } from "../backend/open.ts";
import { variableKey } from "../nn/init.ts";
import { norm } from "../nn/layers.ts";
import { Scope } from "../nn/scope.ts";
import { encode, patches, type VitConfig } from "../nn/vit.ts";
import type { SampleRange } from "../data/formats/decode.ts";
import { openFiles } from "../data/sources/files.ts";
import type { Source } from "../data/source.ts";
import { type CenterView, resized } from "../data/augmentation/views.ts";
import { listCheckpoints, readCheckpoint } from "../run/checkpoint.ts";
import { collect } from "./collect.ts";
import type { Features } from "./evaluator.ts";

export interface Encoder {
  readonly model: VitConfig;
  /** How an image becomes an input: resize, crop, normalisation. */
  readonly view: CenterView;
  /** Parameters under timm's names, and what the checkpoint has beside them: a contrastive head as `head.*`. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  /**
   * One row per image of the source: the class token after the final norm. Of an encoder that has `fc_norm` in its place,
   * as MAE's fine-tuned ones have, the mean of the patch tokens after that.
   */
  features(source: Source): Promise<Features>;
  /** The same of image files, one row per file. Rejects when one cannot be read. */
  embed(files: readonly string[]): Promise<Features>;
  /** The same for images at hand, [B, 3, S, S] under `view` with B up to the encoder's batch: [B, width]. */
  encode(images: Tensor<"float32">): Promise<Tensor<"float32">>;
  release(): Promise<void>;
}

export interface EncoderOptions extends DeviceOptions {
  /** Images per run (default 64). */
  readonly batch?: number;
  /** Values that are black and white in files of more than 8 bits a channel, for `embed` (default: 0 and 65535). */
  readonly range?: SampleRange | undefined;
}

/**
 * The encoder of a run folder (its last stage unless `stage` names another) or of one checkpoint file.
 * Throws one sentence when there is none.
 */
export async function loadEncoder(path: string, options: EncoderOptions & { stage?: string } = {}): Promise<Encoder> {
  const { model, view, range, parameters } = readEncoder(path, options.stage);
  return createEncoder(model, view, parameters, { range, ...options });
}

/** An encoder as it lies in a file, with what the header says of it. */
export interface SavedEncoder extends CheckpointSetup, Pick<Encoder, "parameters"> {
  readonly metadata: Readonly<Record<string, string>>;
}

/** What `loadEncoder` makes an encoder of. */
export function readEncoder(path: string, stage?: string): SavedEncoder {
  const file = checkpointFile(path, stage);
  const { metadata, tensors } = readCheckpoint(file, (name) => !name.startsWith("optimizer."));
  return { ...setupIn(file, metadata), parameters: belowPrefix(tensors, metadata["encoder"] ?? ""), metadata };
}

/** What a checkpoint file says of its model and of the images it wants. */
export function checkpointSetup(file: string): CheckpointSetup & { sha256: string } {
  const { metadata } = readCheckpoint(file, () => false);
  return { ...setupIn(file, metadata), sha256: metadata["sha256"]! };
}

/** What a checkpoint's header says of an encoder and of the images it wants; `prefix` stands before its names. */
export function encoderHeader(
  { model, view, range }: Pick<Encoder, "model" | "view"> & { readonly range?: SampleRange | undefined },
  prefix = "",
): Record<string, string> {
  return {
    model: JSON.stringify(model),
    view: JSON.stringify(view),
    encoder: prefix,
    ...(range === undefined ? {} : { range: JSON.stringify(range) }),
  };
}

interface CheckpointSetup {
  readonly model: VitConfig;
  readonly view: CenterView;
  /** Of the images' values, where they had more than 8 bits and it was said. */
  readonly range: SampleRange | undefined;
}

function setupIn(file: string, { model, view, range }: Readonly<Record<string, string>>): CheckpointSetup {
  if (model === undefined || view === undefined)
    throw new Error(`${file} does not say what model it holds; it was not written by layergraft pretrain`);
  return {
    model: JSON.parse(model) as VitConfig,
    view: JSON.parse(view) as CenterView,
    range: range === undefined ? undefined : (JSON.parse(range) as SampleRange),
  };
}

/** Those whose names have the prefix, without it. */
export function belowPrefix(tensors: ReadonlyMap<string, Tensor>, prefix: string): Map<string, Tensor> {
  const own = [...tensors].filter(([name]) => name.startsWith(prefix));
  return new Map(own.map(([name, value]) => [name.slice(prefix.length), value]));
}

/** An encoder from parameters under timm's names; features do not depend on extra ones. Throws when one is missing or misshapen. */
export async function createEncoder(
  model: VitConfig,
  view: CenterView,
  parameters: ReadonlyMap<string, Tensor>,
  { batch = 64, range, ...options }: EncoderOptions = {},
): Promise<Encoder> {
  const used = encoderParameters(model, parameters);
  const pooling = isPooled(parameters) ? "mean" : "cls";
  const { encode: run, release } = await openFeatures(
    openBackend(options),
    model,
    batch,
    (name) => used.get(name)!,
    pooling,
  );
  const { width, imageSize } = model;
  const rowsOf = async (images: Tensor<"float32">) => (await run(images)).data;
  const collected = (source: Source) => collect(source, view, { batch, width, rowsOf });
  return {
    model,
    view,
    parameters,
    features: collected,
    async embed(files) {
      const features = await collected(openFiles(files, { shortSide: 2 * view.size, range }));
      const [bad] = features.unreadable ?? [];
      if (bad !== undefined) throw new Error(bad.reason);
      return features;
    },
    async encode(images) {
      const [count] = images.shape as [number];
      if (count > batch) throw new Error(`${count} images were given, but this encoder takes up to ${batch} at once`);
      let whole = images;
      if (count < batch) {
        whole = tensor("float32", [batch, 3, imageSize, imageSize], new Float32Array(batch * 3 * imageSize ** 2));
        whole.data.set(images.data);
      }
      const rows = await rowsOf(whole);
      return tensor("float32", [count, width], rows.slice(0, count * width));
    },
    release,
  };
}

/** The graph of an encoder on parameters that lie in a backend, for `batch` images at a time: [batch, width]. */
export async function openFeatures(
  backend: Backend,
  model: VitConfig,
  batch: number,
  parameter: (name: string) => Handle,
  pooling: "cls" | "mean" = "cls",
) {
  const { scope, features } = encoderGraph(model, batch, pooling);
  const program = await backend.compile({ features });
  program.bind({ inputs: Object.fromEntries([...scope.variables.keys()].map((name) => [name, parameter(name)])) });
  return {
    async encode(images: Tensor<"float32">): Promise<Tensor<"float32">> {
      return (await program.run({ images }))["features"] as Tensor<"float32">;
    },
    release: () => program.release(),
  };
}

/** Of `parameters` those that the encoder itself consists of. Throws when one is missing. */
export function encoderParameters(model: VitConfig, parameters: Encoder["parameters"]): Map<string, Tensor> {
  const used = new Map<string, Tensor>();
  for (const name of encoderGraph(model, 1, isPooled(parameters) ? "mean" : "cls").scope.variables.keys()) {
    const value = parameters.get(name);
    if (value === undefined) throw new Error(`the encoder needs a tensor ${name}, but the checkpoint has none`);
    used.set(name, value);
  }
  return used;
}

/** The parameters an encoder starts from before any training. */
export function initialParameters(model: VitConfig, root: Key): Map<string, Tensor> {
  const { scope } = encoderGraph(model, 1, "cls");
  return new Map(
    [...scope.variables.values()].map(({ name, shape, init }) => [
      name,
      tensor("float32", shape, init(shape, variableKey(root, name))),
    ]),
  );
}

/** Colours themselves as features: each image at `side` × `side` pixels. What any encoder should beat. */
export function pixelFeatures(view: CenterView, side = 16): (source: Source) => Promise<Features> {
  const small = resized(view, side);
  const width = 3 * side ** 2;
  return (source) => collect(source, small, { batch: 256, width, rowsOf: async ({ data }) => data });
}

/** Whether patches are averaged, as the parameters' names say. */
export function isPooled(parameters: ReadonlyMap<string, unknown>): boolean {
  return parameters.has("fc_norm.weight") && !parameters.has("norm.weight");
}

function encoderGraph(model: VitConfig, batch: number, pooling: "cls" | "mean") {
  const scope = new Scope();
  const images = op.input("images", "float32", [batch, 3, model.imageSize, model.imageSize]);
  const pixels = patches(images, model.patchSize);
  if (pooling === "mean") {
    const tokens = encode(scope, model, pixels, { lineage: "mae", finalNorm: false });
    const mean = op.reduceMean(op.slice(tokens, 1, 1, tokens.shape[1]!), { axis: 1 });
    return { scope, features: norm(scope.at("fc_norm"), mean) };
  }
  const rows = encode(scope, model, pixels, { lineage: "mae", tokens: "cls" });
  return { scope, features: op.reshape(rows, [batch, model.width]) };
}

/** A checkpoint file itself, or that of a run's stage (default: the last): its final one, else its newest. */
export function checkpointFile(path: string, stage: string | undefined): string {
  if (!existsSync(path)) throw new Error(`there is no run folder or checkpoint ${path}`);
  if (statSync(path).isFile()) return path;
  const all = listCheckpoints(path).filter((each) => stage === undefined || each.stage === stage);
  const found = all.findLast(({ final }) => final) ?? all.at(-1);
  if (found !== undefined) return found.path;
  throw new Error(`${path} has no checkpoint${stage === undefined ? "" : ` of a stage named ${stage}`}`);
}
