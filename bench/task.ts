/** What the benches train, on our side and, told in the same words, on PyTorch's. */
import { fold, key, Random } from "../src/tensor/random.ts";
import { sizeOf } from "../src/tensor/shape.ts";
import { tensor } from "../src/tensor/tensor.ts";
import * as op from "../src/graph/ops/index.ts";
import { encode, patchCount, patches, presets, type VitConfig } from "../src/nn/vit.ts";
import type { AdamWOptions, Backend } from "../src/backend/backend.ts";
import type { RateRule } from "../src/optim/groups.ts";
import type { SourceInput } from "../src/data/sources/open.ts";
import type { ViewSpec } from "../src/data/augmentation/views.ts";
import type { Objective } from "../src/objectives/objective.ts";
import type { Fields } from "../src/step/micro-batches.ts";
import { createStep, type Step } from "../src/step/step.ts";
import { defineRecipe } from "../src/recipe/recipe.ts";
import { type ResolvedStage, resolveStages } from "../src/recipe/stage.ts";
import { automatic } from "../src/methods/automatic.ts";
import { smallImages } from "../src/methods/demo.ts";
import { method } from "../src/methods/methods.ts";

const models: Readonly<Record<string, VitConfig>> = {
  small: smallImages.model, // 17 tokens
  "vit-micro": { imageSize: 32, patchSize: 4, width: 192, depth: 6, heads: 3 }, // 65 tokens
  "vit-tiny/8": presets["vit-tiny/8"]!, // 65 tokens of 64 px
  "vit-small/16": presets["vit-small/16"]!,
  "vit-base/16": presets["vit-base/16"]!,
};

export function modelOf(name: string): VitConfig {
  const model = models[name];
  if (model === undefined) throw new Error(`unknown model ${name}; known: ${Object.keys(models).join(", ")}`);
  return model;
}

/** `encoder`: the mean square of the class token. `mim` and `cl`: MAE and MoCo v3 as a recipe has them. */
export const kinds = ["encoder", "mim", "cl"] as const;
export type Kind = (typeof kinds)[number];

export function kindOf(name: string): Kind {
  const kind = kinds.find((each) => each === name);
  if (kind === undefined) throw new Error(`unknown objective ${name}; known: ${kinds.join(", ")}`);
  return kind;
}

/** What is trained, and how. */
export interface Task {
  readonly objective: Objective;
  readonly rules: readonly RateRule[];
  readonly optimizer: AdamWOptions;
  /** What PyTorch's side needs to build the same. */
  readonly told: object;
}

export function taskOf(kind: Kind, name: string): Task {
  const model = modelOf(name);
  if (kind !== "encoder") return stageTask(kind, stageOf(kind, name, { data: madeUp(model), batch: 64 }));
  const optimizer = { betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.05 } as const;
  return {
    objective: encoderObjective(model),
    rules: [],
    optimizer,
    told: { objective: kind, model: sizesOf(model), optimizer },
  };
}

/** The stage's loss, rates and optimizer. */
export function stageTask(
  kind: "mim" | "cl",
  { model, objective, spec, rates, optimizer, views }: ResolvedStage,
): Task & { readonly told: { readonly views: Readonly<Record<string, ViewSpec>> } } {
  const { kind: _, ...options } = spec;
  const frozen = kind === "cl" ? { freezePatchEmbed: true } : {}; // as the recipe's rates say
  const told = { objective: kind, model: { ...sizesOf(model), ...options, ...frozen }, optimizer, views };
  return { objective, rules: rates, optimizer, told };
}

export interface StageOptions {
  readonly data: SourceInput;
  readonly batch: number;
  readonly microBatch?: number;
  readonly workers?: number;
  readonly cacheMegabytes?: number;
  readonly threads?: number;
}

/**
 * The stage that one gets for a model: that of small images for `small`, else that for somebody's own images. From ViT-S up the heads
 * have the paper's sizes.
 */
export function stageOf(kind: "mim" | "cl", name: string, options: StageOptions): ResolvedStage {
  const { data, batch, microBatch = batch, ...rest } = options;
  const model = modelOf(name);
  const { mim, cl } = smallImages;
  const recipe =
    name === "small"
      ? method(kind, {
          data,
          model,
          mim: { ...mim, epochs: 1, batch, microBatch },
          cl: { ...cl, epochs: 1, batch, microBatch },
        })
      : automatic({
          data,
          method: kind,
          images: Math.max(2, batch),
          shortSide: model.imageSize,
          model,
          batch,
          epochs: { mim: 1, cl: 1 },
          mim: { microBatch },
          cl: { microBatch, ...(model.width <= 192 ? {} : { mlpDim: 4096, dim: 256 }) },
        });
  const { data: _, ...settings } = recipe; // images as they are: PyTorch's side does not reduce them beforehand
  return resolveStages(defineRecipe({ ...settings, data, ...rest }))[0]!;
}

const madeUp = ({ imageSize: size }: VitConfig) => ({ kind: "synthetic", length: 64, size }) as const;

/** In the words of reference/models.py. */
function sizesOf({ imageSize: image, patchSize: patch, width, depth, heads }: VitConfig) {
  return { image, patch, width, depth, heads };
}

/** Of the batch field `images`. */
export function encoderObjective(config: VitConfig): Objective {
  return {
    name: "bench",
    encoder: "",
    tokens: 1 + patchCount(config),
    coupled: false,
    fields: { images: [3, config.imageSize, config.imageSize] },
    // All tokens of the last block, as PyTorch computes them, although the class token would do.
    encode: (p, { images }) => ({ tokens: encode(p, config, patches(images!, config.patchSize), { lineage: "mae" }) }),
    loss(_, { tokens }) {
      const cls = op.slice(tokens!, 1, 0, 1);
      return { loss: op.reduceMean(op.mul(cls, cls)) };
    },
  };
}

/** The compiled step of a task as its first step finds it: a momentum encoder equals the encoder. */
export async function openStep(
  { objective, rules, optimizer }: Task,
  sizes: { readonly batch: number; readonly micro: number; readonly backend: Backend },
): Promise<Step> {
  const { batch, micro: microBatch, backend } = sizes;
  const step = await createStep(objective, { batch, microBatch, rules, optimizer, key: key(0), backend });
  await step.resetCopies();
  return step;
}

/** A made-up batch, the same in every process: normal numbers for pixels, uniform ones for noise. */
export function batchOf({ fields }: Objective, batch: number): Fields {
  const made = Object.entries(fields).map(([name, shape]) => {
    const random = new Random(fold(key(0), name));
    const draw = name.startsWith("noise") ? () => random.uniform() : () => random.normal();
    const whole = [batch, ...shape];
    return [name, tensor("float32", whole, Float32Array.from({ length: sizeOf(whole) }, draw))] as const;
  });
  return Object.fromEntries(made);
}

/** Numbers that are parameters; not those of a momentum encoder. */
export function parametersOf({ copies = [] }: Objective, { state }: Step): number {
  const own = [...state.variables.values()].filter(
    ({ name, role }) => role === "parameter" && !copies.some(({ target }) => name.startsWith(target)),
  );
  return own.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}
