import { Command } from "commander";
import type { Device } from "../backend/device.ts";
import { resolve } from "node:path";
import { describeTrend } from "../evaluators/conflict.ts";
import { bothLosses } from "../methods/automatic.ts";
import { writeReport } from "../report/report.ts";
import { openRun } from "../run/folder.ts";
import { locked } from "../run/lock.ts";
import { measureConflict } from "../measure/conflict.ts";
import { defineRecipe } from "../recipe/recipe.ts";
import { commandLine } from "./command-line.ts";
import { deviceOption } from "./device.ts";
import { whole } from "./options.ts";
import { createOutput } from "./progress.ts";
import { formatConflict } from "./table.ts";

interface Options {
  stage?: string;
  batches: number;
  batch?: number;
  warmUp: number;
  seed: number;
  device?: Device;
  threads?: number;
  json: boolean;
}

export function conflictCommand(): Command {
  return new Command("conflict")
    .description("measure per block how the gradients of MIM and CL lie to each other on a run's encoder")
    .argument("<run>", "run folder")
    .option("--stage <name>", "whose encoder (default: the last stage)")
    .option("--batches <n>", "batches, each one value per block", whole(), 64)
    .option("--batch <n>", "images per batch (default: that of the contrastive stage)", whole(2))
    .option("--warm-up <n>", "steps to fit a decoder or heads that were not trained with this encoder", whole(0), 200)
    .option("--seed <n>", "of images, views and masks", whole(0), 0)
    .addOption(deviceOption("that computes the gradients; default: the run's"))
    .option("--threads <n>", "of the two steps (default: the run's)", whole())
    .option("--json", "print the result as JSON", false)
    .addHelpText(
      "after",
      "\nExamples:\n  layergraft conflict runs/mtl\n  layergraft conflict runs/demo --stage mim --batches 200",
    )
    .action(async (run: string, { warmUp, json, batch, ...options }: Options) => {
      const output = createOutput({ json });
      const recipe = defineRecipe(openRun(run).recipe);
      const conflict = await locked(run, commandLine(), () =>
        measureConflict(run, {
          ...options,
          batch,
          warmUpSteps: warmUp,
          fallback: bothLosses(recipe, batch ?? recipe.stages.at(-1)!.batch),
          onProgress: (done, total, what) => output.work(what, done, total),
        }),
      );
      const { encoder, batches, rows, trends } = conflict;
      output.say(`encoder of stage ${encoder.stage} at step ${encoder.step}, ${batches} batches of ${conflict.batch}`);
      for (const { objective, partsOf, warmUpSteps } of [conflict.mim, conflict.cl]) {
        const from = partsOf === undefined ? "started anew" : `come from stage ${partsOf}`;
        if (partsOf !== encoder.stage)
          output.say(`the other parts of ${objective} ${from} and were fitted to the encoder for ${warmUpSteps} steps`);
      }
      const blocks = rows.filter(({ group }) => group === "block").length;
      output.say(`\n${formatConflict(conflict)}\n\n${describeTrend(trends.block, blocks)}`);
      output.result(conflict);
      output.say(`report: ${resolve(writeReport(run))}`);
    });
}
