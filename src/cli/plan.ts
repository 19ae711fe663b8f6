/** `layergraft plan`: what a run would take, without running it. */
import { cpus, loadavg } from "node:os";
import { Command } from "commander";
import { openSource } from "../data/sources/open.ts";
import { forecast, measureSpeed, type Speed } from "../cost/forecast.ts";
import type { Rehearsal } from "../cost/rehearse.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { processors } from "../backend/machine.ts";
import { chooseRecipe } from "./choose-recipe.ts";
import { imagesHelp } from "./data.ts";
import { checkImageOptions, withImageOptions } from "./image-options.ts";
import { deviceOption } from "./device.ts";
import { formatForecast } from "./format-forecast.ts";
import { positive, setting, whole, wholeOrAuto } from "./options.ts";
import { createOutput, type Output } from "./progress.ts";
import { isPaper, type RecipeOptions } from "./recipe-options.ts";
import { recipeWithoutImages } from "./written-recipe.ts";

interface Options extends Omit<RecipeOptions, "recipe"> {
  readonly data?: string;
  readonly images?: number;
  readonly processes: number;
  readonly bandwidth: number;
  readonly latency: number;
  readonly speed?: number;
  readonly json: boolean;
}

/** The training images of ImageNet-1k. */
const imageNet = 1_281_167;

export function planCommand(): Command {
  const command = new Command("plan")
    .description(
      "say what a run would take, without running it: computing, memory, network, time on 1 to 1,024 processes",
    )
    .argument("<recipe>", "a method, a run of the paper (pretrain --help lists both), or a recipe.json")
    .option("--data <images>", `${imagesHelp}; a method needs them`)
    .option("--images <n>", "number of images instead (default: ImageNet-1k's, for paper/*)", whole(2))
    .option("--processes <n>", "that share every batch", whole(), 1)
    .option("--batch <n>", "images per step", whole(2))
    .option("--micro-batch <n>", "images per run of the graph: a number that divides the batch, or auto", wholeOrAuto)
    .option("--recompute", "compute each block again in the backward pass: about half of the activations' memory")
    .option("--model <name>", "of a method (default: chosen for the images)")
    .option("--epochs <n>", "of each stage of a method", positive)
    .option("--parent <checkpoint>", "the encoder in this file takes the place of the first of two stages")
    .option("--set <key=value>", "any setting of the recipe, e.g. stages.0.epochs=50; may be repeated", setting)
    .addOption(deviceOption("that is timed"))
    .option("--threads <n>", "of a process (default: all cores)", whole())
    .option("--bandwidth <Gbit/s>", "of the network of each process, in both directions at once", positive, 10)
    .option("--latency <microseconds>", "from the start of a message to its arrival", positive, 50)
    .option("--speed <GFLOP/s>", "of a process; default: measured here on a micro-batch of every stage", positive)
    .option("--json", "print the plan as JSON", false)
    .addHelpText(
      "after",
      "\nExamples:\n  layergraft plan paper/graft-vit-base --processes 64\n  layergraft plan layer-grafted --data photos\n" +
        "  layergraft plan paper/graft-vit-large --speed 2000 --bandwidth 100",
    )
    .action(async (name: string, { data, images: given, json, ...options }: Options) => {
      const output = createOutput({ json });
      const { recipe, images } = await recipeAndImages({ ...options, recipe: name }, { data, images: given }, output);
      const { processes, bandwidth, latency } = options;
      const network = { bytesPerSecond: (bandwidth * 1e9) / 8, latency: latency / 1e6 };
      const settings = { images, processes, network };
      // what cannot be planned is said before minutes of measuring
      forecast(recipe, { ...settings, speeds: sameSpeed(recipe, 1) });
      const load = loadavg()[0]!;
      const { speeds, rehearsals } =
        options.speed === undefined
          ? await measureAll(recipe, output)
          : { speeds: sameSpeed(recipe, options.speed * 1e9), rehearsals: [] };
      const result = forecast(recipe, { ...settings, speeds });
      output.say(formatForecast(recipe, result, { rehearsals, load }));
      const machine = { cpu: cpus()[0]?.model.trim() ?? "unknown", processors: processors(), load };
      output.result({ ...result, machine, measured: rehearsals });
    });
  return withImageOptions(command);
}

async function recipeAndImages(
  options: RecipeOptions,
  { data, images }: { data?: string | undefined; images?: number | undefined },
  output: Output,
): Promise<{ recipe: Recipe; images: number }> {
  if (data === undefined) {
    checkImageOptions(options, "--data");
    const recipe = recipeWithoutImages(options);
    const count = images ?? (isPaper(options.recipe) ? imageNet : undefined);
    if (count === undefined) throw new Error(`how many images would ${options.recipe} see? Give --data or --images`);
    return { recipe, images: count };
  }
  if (images !== undefined) throw new Error("--data has a number of images of its own; leave out --images");
  const { recipe } = await chooseRecipe(data, options, output);
  return { recipe, images: (await openSource(recipe.data)).length };
}

function sameSpeed({ stages }: Recipe, operationsPerSecond: number): Map<string, Speed> {
  return new Map(stages.map(({ name }) => [name, { operationsPerSecond, updateSeconds: 0 }]));
}

async function measureAll(recipe: Recipe, output: Output) {
  const speeds = new Map<string, Speed>();
  const rehearsals: Rehearsal[] = [];
  for (const [i, stage] of recipe.stages.entries()) {
    output.work(`timing a micro-batch of stage ${stage.name}`, i, recipe.stages.length);
    const { speed, rehearsal } = await measureSpeed(recipe, stage);
    speeds.set(stage.name, speed);
    rehearsals.push(rehearsal);
  }
  output.work("", 1, 1);
  return { speeds, rehearsals };
}
