/** `pretrain --init`: a run that starts from weights, whoever trained them. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { presets, type VitConfig } from "../nn/vit.ts";
import { createObjective } from "../objectives/kinds.ts";
import { type ForeignWeights, openForeign } from "../interop/import.ts";
import type { Method } from "../methods/methods.ts";
import type { PretrainOptions } from "../train/pretrain.ts";
import type { Recipe, RecipeInput } from "../recipe/recipe.ts";

export interface Start extends ForeignWeights {
  /** The whole path of the file. */
  readonly path: string;
}

/** What makes a model the same; the image's size is not a part of it, since position embeddings can be resized. */
type Architecture = Omit<VitConfig, "imageSize">;

/** Opens the file of `--init`. Rejects with one sentence when it cannot be used, or when other options ask for another model. */
export async function openStart(
  path: string,
  options: { heads?: number; encoder?: string; model?: string; patchSize?: number },
): Promise<Start> {
  if (!existsSync(path)) throw new Error(`--init: there is no file ${path}`);
  const { heads, encoder, model: name, patchSize } = options;
  const weights = await openForeign(path, {
    ...(heads === undefined ? {} : { heads }),
    ...(encoder === undefined ? {} : { encoder }),
  });
  const { model } = weights.report;
  const preset = name === undefined ? undefined : presets[name];
  if (name !== undefined && preset === undefined)
    throw new Error(`there is no model ${name}; available: ${Object.keys(presets).join(", ")}`);
  if (preset !== undefined)
    requireSame(path, model, { ...preset, patchSize: patchSize ?? preset.patchSize }, `--model ${name}`);
  else if (patchSize !== undefined) requireSame(path, model, { ...model, patchSize }, `--patch-size ${patchSize}`);
  return { ...weights, path: resolve(weights.path) };
}

function requireSame(path: string, model: VitConfig, asked: VitConfig, who: string) {
  const architecture = ({ width, depth, heads, patchSize }: Architecture) =>
    `patch ${patchSize}, width ${width}, depth ${depth}, heads ${heads}`;
  if (architecture(model) !== architecture(asked))
    throw new Error(
      `${path} holds an encoder of ${architecture(model)}, but ${who} asks for ${architecture(asked)}; leave it out, or start afresh`,
    );
}

/** Whether an encoder that masked image modelling has trained takes the place of the method's first stage. */
export function takesFirstStage({ report }: Start, name: Method): boolean {
  return report.mim && (name === "mim-to-cl" || name === "layer-grafted" || name === "auto-grafted");
}

/** The method's recipe with the normalisation that the encoder knows, and with its decoder where there is one to go on with. */
export function fitToStart(recipe: RecipeInput, { report: { view, decoder } }: Start): RecipeInput {
  type Stage = RecipeInput["stages"][number];
  const { mean, std } = view;
  const normalised = (views: Stage["views"]): Stage["views"] =>
    Object.fromEntries(
      Object.entries(views).map(([field, each]) => [field, each.kind === "noise" ? each : { ...each, mean, std }]),
    );
  const sized = <T extends Stage["objective"]>(objective: T): T =>
    objective.kind === "mae" && decoder !== undefined ? { ...objective, ...decoder } : objective;
  return {
    ...recipe,
    evaluationView: { ...recipe.evaluationView, mean, std } as RecipeInput["evaluationView"],
    stages: recipe.stages.map((stage) => ({
      ...stage,
      objective: sized(stage.objective),
      views: normalised(stage.views),
      ...(stage.plan === undefined
        ? {}
        : {
            plan: {
              ...stage.plan,
              mim: { objective: sized(stage.plan.mim.objective), views: normalised(stage.plan.mim.views) },
            },
          }),
    })),
  };
}

/** The recipe with its first stage starting from the encoder in a file. */
export function startFrom(recipe: RecipeInput, path: string): RecipeInput {
  const [first, ...rest] = recipe.stages;
  const init = [...(first!.init ?? []), { path }];
  return { ...recipe, stages: [{ ...first!, init }, ...rest] };
}

/** Whether the recipe's masked image modelling, if it has any, can use the decoder in the file. */
export function fitsDecoder({ report: { decoder } }: Start, { model, stages }: Recipe): boolean {
  if (decoder === undefined) return false;
  const specs = stages.flatMap(({ objective, plan }) => [
    objective,
    ...(plan === undefined ? [] : [plan.mim.objective]),
  ]);
  return specs.every((spec) => {
    const { encoder, decoder: names, metadata } = createObjective(model, spec);
    // a stage takes over what lies below the encoder's prefix, so a decoder only where there is no prefix
    return names === undefined || encoder !== "" || metadata?.["decoder"] === JSON.stringify(decoder);
  });
}

/**
 * The run of a recipe that starts from the file. Weights that are not layergraft's, are for another image size or have a
 * decoder that the recipe has not are written into the run's folder, so that a resumed run does not depend on the file.
 * Throws when the recipe's model is not the file's.
 */
export function runFrom(start: Start, recipe: Recipe, out: string): Pick<PretrainOptions, "recipe" | "prepare"> {
  const { path, own, report, write, close } = start;
  const { model } = recipe;
  requireSame(path, report.model, model, "the recipe");
  const decoder = fitsDecoder(start, recipe);
  if (own && model.imageSize === report.model.imageSize && (decoder || report.decoder === undefined)) {
    close();
    return { recipe };
  }
  const copy = resolve(out, "start.safetensors");
  const stages = recipe.stages.map((stage) => ({
    ...stage,
    init: stage.init.map((each) => (each.path === path ? { ...each, path: copy } : each)),
  }));
  return {
    recipe: { ...recipe, stages },
    async prepare(dir) {
      await write(join(dir, "start.safetensors"), { imageSize: model.imageSize, decoder });
      close();
    },
  };
}
