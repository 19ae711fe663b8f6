import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { Command, Option } from "commander";
import { kindOf, openSource } from "../data/sources/open.ts";
import { launched } from "../collective/launch.ts";
import { presets } from "../nn/vit.ts";
import { clNames, mimNames } from "../objectives/kinds.ts";
import { openRun } from "../run/folder.ts";
import { addNotes } from "../run/notes.ts";
import { joinPretrain } from "../train/pretrain.ts";
import { defineRecipe, type Recipe, schedules } from "../recipe/recipe.ts";
import { tasksOf } from "../measure/tasks.ts";
import { methods } from "../methods/methods.ts";
import { paperRecipes } from "../methods/paper.ts";
import { commandLine } from "./command-line.ts";
import { chooseRecipe } from "./choose-recipe.ts";
import { imagesHelp, sourceAt } from "./data.ts";
import { checkImageOptions, withImageOptions } from "./image-options.ts";
import { deviceOrAutoOption, resolveDevice } from "./device.ts";
import { encoderHelp } from "./import.ts";
import { anchor, badShareOption, positive, setting, share, shares, whole, wholeOrAuto } from "./options.ts";
import { interruptible } from "./interrupt.ts";
import { createOutput, type Output } from "./progress.ts";
import { isGiven, kebabCase, methodOptions, type RecipeOptions } from "./recipe-options.ts";
import { finish, trainWithProgress } from "./training.ts";
import { runFrom } from "./start.ts";

interface Options extends RecipeOptions {
  readonly out?: string;
  readonly resume: boolean;
  readonly data?: string;
  readonly finish: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

export function pretrainCommand(): Command {
  const command = new Command("pretrain")
    .description("pre-train an encoder on a folder of images")
    .argument("[images]", `${imagesHelp}; folders may be flat or nested, subfolders are classes for evaluation only`)
    .option("--out <dir>", "run folder (default: runs/<name of the image folder>)")
    .option("--recipe <name>", "a method or a run of the paper (below), or a recipe.json of your own", "layer-grafted")
    .option(
      "--model <name>",
      `one of ${Object.keys(presets).join(", ")} (default: chosen for images and time, docs/defaults.md)`,
    )
    .option("--image-size <pixels>", "side of the model's input", whole(8))
    .option("--patch-size <pixels>", "side of a patch", whole())
    .option("--epochs <n>", "of each stage (default: what fits in --hours)", positive)
    .option("--batch <n>", "images per step", whole(2))
    .option("--micro-batch <n>", "images per run of the graph: a number that divides the batch, or auto", wholeOrAuto)
    .option("--recompute", "compute each block again in the backward pass: about half of the activations' memory")
    .option("--learning-rate <rate>", "peak, for a batch of 256", positive)
    .addOption(
      new Option(
        "--schedule <name>",
        "of the learning rate; constant: annealed in the last tenth (default: cosine)",
      ).choices(schedules),
    )
    .option(
      "--hours <n>",
      "time to train for when --epochs is not given, by steps timed here (default: about 8)",
      positive,
    )
    .option("--seed <n>", "same seed, same result", whole(0))
    .addOption(deviceOrAutoOption())
    .option("--threads <n>", "of the training step (default: all cores)", whole())
    .option(
      "--init <file>",
      "start from the encoder in this file: a checkpoint, or weights from elsewhere (docs/weights.md)",
    )
    .option("--heads <n>", "of the encoder in --init, where its file cannot tell", whole())
    .option("--encoder <name>", `which encoder of --init, where its file holds several: ${encoderHelp}`)
    .option("--parent <checkpoint>", "the encoder in this file takes the place of the first of two stages")
    .addOption(badShareOption())
    .option("--resume", "go on with the run in --out from its newest checkpoint", false)
    .option("--data <images>", "with --resume: the run's images, where they lie elsewhere now")
    .option("--finish", "with --resume: anneal in a tenth of the steps so far and end there, no stage after it", false)
    .option("--set <key=value>", "any setting of the recipe, e.g. stages.0.epochs=50; may be repeated", setting)
    .option("--dry-run", "print the settings and stop (plan says what they cost, rehearse takes real steps)", false)
    .option("--json", "print events as JSON, one a line", false)
    .optionsGroup("Watching:")
    .option("--knn <epochs>", "look at the features so often: k-NN, collapse (default: ten times a stage)", positive)
    .option("--no-knn", "do not look at them while they are trained")
    .optionsGroup("Losses:")
    .addOption(new Option("--mim <loss>", "of masked image modelling (default: mae)").choices(mimNames))
    .addOption(new Option("--cl <loss>", "of contrast (default: mocov3)").choices(clNames))
    .option("--mask-ratio <share>", "of patches that MIM hides (default: 0.75; simmim 0.6)", share)
    .option("--no-norm-pix", "MIM predicts pixels as they are, not normalised per patch")
    .option("--temperature <t>", "of the contrast (default: 0.2)", positive)
    .option("--momentum <m>", "of the key encoder at the start (default: 0.99)", share)
    .option("--patch-drop <share>", "of patches that CL leaves out of both encoders", share)
    .option("--contrastive-mae <share>", "of patches that CL leaves out of the query encoder only", share)
    .optionsGroup("Graft, for methods of two stages:")
    .option("--rates <list>", "factors on the learning rate of equal groups of blocks, input first: 0.1,0.1,1", shares)
    .option("--layer-decay <factor>", "instead: the learning rate falls by this factor per block", share)
    .option("--fix-to <blocks>", "freeze embeddings and so many blocks", whole(0))
    .option("--fresh-end", "blocks from --fix-to up start afresh")
    .option("--end-from <checkpoint>", "blocks from --fix-to up start from the encoder of this CL run")
    .option("--lazy <k>", "train blocks whose rate is below 1 in every k-th step only, at k times the rate", whole(2))
    .option("--l1-anchor <weight,blocks>", "hold so many lower blocks near the first stage's: 1e-5,12", anchor)
    .addHelpText(
      "after",
      `\nMethods:\n${lines(methods)}\n\nThe paper's own runs (docs/paper-runs.md):\n${lines(paperRecipes)}\n` +
        "\nExamples:\n  layergraft pretrain photos\n  layergraft pretrain photos --model vit-small/16 --epochs 100 --out runs/photos\n" +
        "  layergraft pretrain photos --recipe mim-to-cl --parent runs/photos/checkpoints/1-mim-00000400.final.safetensors\n" +
        "  layergraft pretrain photos --init mae_pretrain_vit_base.pth\n" +
        "  layergraft pretrain --resume --out runs/photos\n  layergraft pretrain /mnt/photos --resume --out runs/photos\n  layergraft pretrain --resume --finish --out runs/photos\n  layergraft pretrain more-photos --init runs/photos/checkpoints/2-cl-00000400.final.safetensors",
    )
    .action(async (images: string | undefined, options: Options) => {
      const output = createOutput({ json: options.json });
      const command = commandLine();
      if (options.finish && !options.resume)
        throw new Error("--finish ends a run that was stopped before its end: give --resume and --out, too");
      const { rank } = launched() ?? { rank: 0 };
      // all but the first process of a job are silent: it has the recipe, the run folder and the report
      if (rank > 0) {
        if (options.dryRun) return;
        return interruptible(
          () => undefined,
          (signal) => joinPretrain({ command, signal }),
        );
      }
      if (options.resume) return resumeRun(images, options, output);
      if (options.data !== undefined)
        throw new Error(
          `--data belongs to --resume; a new run is given its images so: layergraft pretrain ${options.data}`,
        );
      if (images === undefined) throw new Error("which images? Give a folder: layergraft pretrain IMAGES");
      const { recipe: chosen, start } = await chooseRecipe(images, options, output);
      const device = await resolveDevice(options.device, chosen, output);
      const recipe = device === undefined || device === (chosen.device ?? "cpu") ? chosen : { ...chosen, device };
      const { data } = recipe;
      const out = options.out ?? defaultOut(kindOf(data).folder?.(data), images, output);
      const run = start === undefined ? { recipe } : runFrom(start, recipe, out);
      if (options.dryRun) {
        output.say(JSON.stringify(recipe, null, 2));
        output.say(
          `nothing was run: layergraft plan ${options.recipe} --data ${images} says what it would take, ` +
            `layergraft rehearse ${options.recipe} takes two real steps of every stage on made-up images`,
        );
        return output.result(recipe);
      }
      const { finished } = await trainWithProgress({ ...run, out, command }, output);
      if (finished) await finishRun(out, recipe, output);
    });
  return withImageOptions(command);
}

/** Below runs/, named after the images; not among them, where its pictures would be found as images. */
function defaultOut(folder: string | undefined, images: string, output: Output): string {
  const path = resolve(folder ?? images);
  const out = join("runs", basename(path) || "images");
  const within = relative(path, resolve(out));
  if (within.startsWith("..") || isAbsolute(within)) return out;
  const beside = join(dirname(path), out);
  output.say(`run folder: ${beside}, since ${out} would lie among the images (--out says another)`);
  return beside;
}

/** Names and what they mean, a line each. */
function lines(list: Readonly<Record<string, string>>): string {
  const width = Math.max(...Object.keys(list).map(({ length }) => length));
  return Object.entries(list)
    .map(([name, what]) => `  ${name.padEnd(width)}  ${what}`)
    .join("\n");
}

async function resumeRun(argument: string | undefined, { out, data, ...options }: Options, output: Output) {
  if (out === undefined) throw new Error("--resume needs --out, the folder of the run to go on with");
  const fixed = [
    "model",
    "imageSize",
    "patchSize",
    "epochs",
    "batch",
    "microBatch",
    "recompute",
    "learningRate",
    "schedule",
    "hours",
    "seed",
    "threads",
  ] as const;
  const given = [
    ...fixed,
    ...methodOptions,
    "init" as const,
    "heads" as const,
    "encoder" as const,
    "set" as const,
  ].filter((name) => isGiven(options, name));
  if (given.length > 0)
    throw new Error(
      `--resume goes on with the run as it was started; leave out --${kebabCase(given[0]!)}. ` +
        "For another recipe start a new run, with --init to use this one's weights",
    );
  if (argument !== undefined && data !== undefined)
    throw new Error(`the images of the run are said twice: leave out ${argument} or --data ${data}`);
  const images = argument ?? data;
  if (images === undefined) checkImageOptions(options, "--data");
  const command = commandLine();
  const device = await resolveDevice(options.device, defineRecipe(openRun(out).recipe), output);
  const { recipe, finished } = await trainWithProgress(
    {
      out,
      resume: true,
      maxBadShare: options.maxBadShare,
      data: images === undefined ? undefined : await sourceAt(images, output, options),
      finish: options.finish,
      device,
      command,
    },
    output,
  );
  if (finished) await finishRun(out, recipe, output);
}

async function finishRun(out: string, { data, device }: Recipe, output: Output) {
  const { length, notes = [] } = await openSource(data);
  const where = "path" in data ? data.path : data.kind;
  addNotes(out, {
    facts: [
      { name: "Images", value: `${length.toLocaleString("en")} in ${where}` },
      ...(notes.length === 0 ? [] : [{ name: "Beside them", value: notes.join("; ") }]),
    ],
  });
  const { reason } = await tasksOf(data);
  if (reason !== undefined) output.say(`no table of results: ${reason} (layergraft evaluate ${out} --data DIR)`);
  await finish(out, output, { labelled: reason === undefined, device });
}
