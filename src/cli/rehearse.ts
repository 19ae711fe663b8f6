/** `layergraft rehearse`: the first real steps of a run, on made-up images. */
import { Command } from "commander";
import { rehearse, type Rehearsal } from "../cost/rehearse.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { chooseRecipe } from "./choose-recipe.ts";
import { imagesHelp } from "./data.ts";
import { deviceOption } from "./device.ts";
import { count } from "./format-forecast.ts";
import { setting, whole, wholeOrAuto } from "./options.ts";
import { createOutput } from "./progress.ts";
import type { RecipeOptions } from "./recipe-options.ts";
import { align } from "./table.ts";
import { recipeWithoutImages } from "./written-recipe.ts";

interface Options extends Omit<RecipeOptions, "recipe"> {
  readonly data?: string;
  readonly steps: number;
  readonly stage?: string;
  readonly batch: number;
  readonly json: boolean;
}

export function rehearseCommand(): Command {
  return new Command("rehearse")
    .description("take real steps of every stage of a recipe on made-up images: does it run, how fast, in what memory")
    .argument("<recipe>", "a method, a run of the paper (pretrain --help lists both), or a recipe.json")
    .option("--data <images>", `${imagesHelp}; a method needs them to choose a model, no image is read otherwise`)
    .option("--steps <n>", "of every stage", whole(), 2)
    .option("--stage <name>", "this stage only")
    .option("--batch <n>", "images per step", whole(2), 8)
    .option("--micro-batch <n>", "images per run of the graph: a number that divides the batch, or auto", wholeOrAuto)
    .option("--recompute", "compute each block again in the backward pass: about half of the activations' memory")
    .option("--model <name>", "of a method (default: chosen for the images)")
    .option("--set <key=value>", "any setting of the recipe, e.g. model.depth=6; may be repeated", setting)
    .option("--seed <n>", "of weights and images", whole(0))
    .addOption(deviceOption("that takes the steps"))
    .option("--threads <n>", "of a step (default: all cores)", whole())
    .option("--json", "print the result as JSON", false)
    .addHelpText(
      "after",
      "\nWeights are fresh in every stage, whatever it would start from, and the learning rate is the stage's peak for this\n" +
        "batch. Nothing is written.\n" +
        "\nExamples:\n  layergraft rehearse paper/graft-vit-large\n  layergraft rehearse paper/mocov3-vit-base --batch 16 --steps 3",
    )
    .action(async (name: string, { data, steps, stage: only, json, ...options }: Options) => {
      const output = createOutput({ json });
      const asked = { ...options, recipe: name };
      const recipe = data === undefined ? recipeWithoutImages(asked) : (await chooseRecipe(data, asked, output)).recipe;
      const names = only === undefined ? recipe.stages.map((stage) => stage.name) : [only];
      const rehearsals: Rehearsal[] = [];
      for (const [i, stage] of names.entries()) {
        output.work(`rehearsing stage ${stage}`, i, names.length);
        rehearsals.push(await rehearse(recipe, { stage, steps }));
      }
      output.work("", 1, 1);
      output.say(formatRehearsals(recipe, rehearsals));
      output.result({ recipe: recipe.name, stages: rehearsals });
    });
}

function formatRehearsals({ name, model }: Recipe, rehearsals: readonly Rehearsal[]): string {
  const { imageSize, patchSize, width, depth, heads } = model;
  const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(2);
  const head = [
    "stage",
    "batch",
    "micro-batch",
    "trained",
    "step",
    "loss",
    "seconds",
    "of it update",
    "most memory, GB",
  ];
  const rows = rehearsals.flatMap(({ stage, batch, microBatch, trained, losses, seconds, updateSeconds, mostBytes }) =>
    losses.map((loss, i) => [
      ...(i === 0 ? [stage, String(batch), String(microBatch), count(trained)] : ["", "", "", ""]),
      String(i + 1),
      loss.toFixed(4),
      seconds[i]!.toFixed(2),
      ...(i === 0 ? [updateSeconds.toFixed(2), gigabytes(mostBytes)] : ["", ""]),
    ]),
  );
  return (
    `${name} on synthetic images; model ${imageSize} px, patch ${patchSize}, width ${width}, depth ${depth}, heads ${heads}\n\n` +
    align([head, ...rows])
  );
}
