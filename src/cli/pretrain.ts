import { existsSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { Command } from "commander";
import { openSource, type Source, type SourceSpec } from "../data/source.ts";
import { presets } from "../nn/vit.ts";
import { automatic } from "../recipes/automatic.ts";
import { readCheckpoint } from "../run/checkpoint.ts";
import { defineRecipe, type RecipeInput } from "../train/recipe.ts";
import { applySettings, positive, type Setting, setting, whole } from "./options.ts";
import { createOutput, type Output } from "./progress.ts";
import { finish, trainWithProgress } from "./session.ts";

interface Options {
  out?: string;
  recipe: string;
  model?: string;
  imageSize?: number;
  patchSize?: number;
  epochs?: number;
  batch?: number;
  learningRate?: number;
  hours?: number;
  seed?: number;
  threads?: number;
  init?: string;
  set?: Setting[];
  resume: boolean;
  dryRun: boolean;
  json: boolean;
}

export function pretrainCommand(): Command {
  return new Command("pretrain")
    .description("pre-train an encoder on a folder of images")
    .argument(
      "[images]",
      "folder of JPEG, PNG or WebP images, flat or nested; subfolders are classes for evaluation only",
    )
    .option("--out <dir>", "run folder (default: runs/<name of the image folder>)")
    .option("--recipe <name>", "layer-grafted, or a recipe.json of your own", "layer-grafted")
    .option("--model <name>", `one of ${Object.keys(presets).join(", ")} (default: chosen for the images)`)
    .option("--image-size <pixels>", "side of the model's input", whole(8))
    .option("--patch-size <pixels>", "side of a patch", whole())
    .option("--epochs <n>", "of each stage (default: what fits in --hours)", positive)
    .option("--batch <n>", "images per step", whole(2))
    .option("--learning-rate <rate>", "peak, for a batch of 256", positive)
    .option("--hours <n>", "time to aim for when --epochs is not given (default: 8)", positive)
    .option("--seed <n>", "same seed, same result", whole(0))
    .option("--threads <n>", "of the training step (default: all cores)", whole())
    .option("--init <checkpoint>", "start a new run from the encoder in this file")
    .option("--resume", "go on with the run in --out from its newest checkpoint", false)
    .option("--set <key=value>", "any setting of the recipe, e.g. stages.0.epochs=50; may be repeated", setting)
    .option("--dry-run", "print the settings and stop", false)
    .option("--json", "print events as JSON, one a line", false)
    .addHelpText(
      "after",
      "\nExamples:\n  layergraft pretrain photos\n  layergraft pretrain photos --model vit-small/16 --epochs 100 --out runs/photos\n" +
        "  layergraft pretrain --resume --out runs/photos\n  layergraft pretrain more-photos --init runs/photos/checkpoints/2-cl-00000400.final.safetensors",
    )
    .action(async (images: string | undefined, options: Options) => {
      const output = createOutput({ json: options.json });
      if (options.resume) return resumeRun(images, options, output);
      if (images === undefined) throw new Error("which images? Give a folder: layergraft pretrain IMAGES");
      const recipe = await chooseRecipe(images, options, output);
      if (options.dryRun) {
        output.say(JSON.stringify(recipe, null, 2));
        return output.result(recipe);
      }
      const out = options.out ?? join("runs", basename(resolve(images)));
      const command = `layergraft ${process.argv.slice(2).join(" ")}`;
      const { finished } = await trainWithProgress({ recipe, out, command }, output);
      if (finished) await finishRun(out, recipe.data as SourceSpec, output);
    });
}

async function resumeRun(images: string | undefined, { out, ...options }: Options, output: Output) {
  if (out === undefined) throw new Error("--resume needs --out, the folder of the run to go on with");
  const changed = [
    "model",
    "imageSize",
    "patchSize",
    "epochs",
    "batch",
    "learningRate",
    "seed",
    "init",
    "set",
  ] as const;
  const given = changed.filter((name) => options[name] !== undefined);
  if (images !== undefined || given.length > 0)
    throw new Error(
      `--resume goes on with the run as it was started; leave out ${images === undefined ? `--${given[0]}` : images}. ` +
        "For another recipe start a new run, with --init to use this one's weights",
    );
  const { recipe, finished } = await trainWithProgress({ out, resume: true, command: "layergraft pretrain" }, output);
  if (finished) await finishRun(out, recipe.data, output);
}

async function finishRun(out: string, data: SourceSpec, output: Output) {
  const { classes } = await openSource(data);
  if (classes.length < 2)
    output.say("the images have no class subfolders, so there is no table; see layergraft evaluate --data");
  await finish(out, output, { labelled: classes.length >= 2 });
}

async function chooseRecipe(images: string, options: Options, output: Output): Promise<RecipeInput> {
  const data: SourceSpec = { kind: "folder", path: resolve(images) };
  let recipe: RecipeInput;
  if (options.recipe === "layer-grafted") {
    const source = await openSource(data);
    const { model, imageSize, patchSize, epochs, batch, learningRate, hours, seed } = options;
    recipe = automatic({
      data,
      images: source.length,
      shortSide: await typicalShortSide(source),
      ...defined({ model, imageSize, patchSize, batch, learningRate, hours, seed }),
      ...(epochs === undefined ? {} : { epochs: { mim: epochs, cl: epochs } }),
    });
    if (batch !== undefined && batch > source.length)
      throw new Error(
        `a batch of ${batch} is larger than the data set of ${source.length} images; set --batch to ${source.length} or less`,
      );
    output.say(
      `${source.length.toLocaleString("en")} images in ${images}${source.classes.length > 0 ? `, ${source.classes.length} classes (used for evaluation only)` : ""}`,
    );
  } else if (existsSync(options.recipe)) {
    recipe = { ...(JSON.parse(readFileSync(options.recipe, "utf8")) as RecipeInput), data };
  } else
    throw new Error(`there is no recipe ${options.recipe}; available: layer-grafted, or the path of a recipe.json`);
  if (options.threads !== undefined) recipe = { ...recipe, threads: options.threads };
  if (options.init !== undefined) recipe = startFrom(recipe, options.init);
  recipe = applySettings(recipe, options.set ?? []);
  const { model, stages } = defineRecipe(recipe);
  output.say(
    `model ${model.imageSize} px, patch ${model.patchSize}, width ${model.width}, depth ${model.depth}, heads ${model.heads}\n` +
      stages
        .map(
          ({ name, epochs, batch, learningRate }) =>
            `  ${name.padEnd(4)} ${epochs} epochs, batch ${batch}, learning rate ${learningRate} (for 256)`,
        )
        .join("\n"),
  );
  return recipe;
}

/** The recipe with its first stage starting from the encoder in a checkpoint. */
function startFrom(recipe: RecipeInput, path: string): RecipeInput {
  if (!existsSync(path)) throw new Error(`--init: there is no file ${path}`);
  const from = readCheckpoint(path, () => false).metadata["encoder"] ?? "";
  const [first, ...rest] = recipe.stages;
  const to = first!.objective.kind === "mae" ? "" : "base_encoder.";
  return { ...recipe, stages: [{ ...first!, init: [...(first!.init ?? []), { path, from, to }] }, ...rest] };
}

/** Median shorter side of some images that can be read. */
async function typicalShortSide(source: Source): Promise<number> {
  const sides: number[] = [];
  const stride = Math.max(1, Math.floor(source.length / 16));
  for (let i = 0; i < source.length && sides.length < 16; i += stride) {
    const pixels = await source.load(i).catch(() => undefined);
    if (pixels !== undefined) sides.push(Math.min(pixels.width, pixels.height));
  }
  return sides.sort((a, b) => a - b)[Math.floor(sides.length / 2)] ?? 224;
}

/** Without the keys whose value is undefined. */
function defined<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
