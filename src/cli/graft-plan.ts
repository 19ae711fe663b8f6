import { Command } from "commander";
import type { Device } from "../backend/device.ts";
import { openRun } from "../run/folder.ts";
import { locked } from "../run/lock.ts";
import { listCheckpoints } from "../run/checkpoint.ts";
import { writePlan } from "../run/graft-plan.ts";
import { bothLosses } from "../methods/automatic.ts";
import { frozenPatches } from "../methods/methods.ts";
import { describePlan, measurePlan } from "../graft/measure.ts";
import { defineRecipe, type Recipe } from "../recipe/recipe.ts";
import { lossesOf, type ResolvedStage, resolveStage, resolveStages } from "../recipe/stage.ts";
import { commandLine } from "./command-line.ts";
import { deviceOption } from "./device.ts";
import { positive, whole } from "./options.ts";
import { createOutput } from "./progress.ts";
import { defined } from "./recipe-options.ts";
import { align } from "./table.ts";

interface Options {
  lowest: number;
  warmUp: number;
  jointSteps: number;
  batches: number;
  device?: Device;
  threads?: number;
  json: boolean;
}

export function graftPlanCommand(): Command {
  return new Command("graft-plan")
    .description("propose a learning rate per block for contrast on top of a run's MIM stage, from measured conflict")
    .argument("<run>", "run folder with a finished MIM stage")
    .option("--lowest <factor>", "on the learning rate where the losses conflict least", positive, 0.1)
    .option("--warm-up <n>", "steps in which decoder and heads are trained alone", whole(), 100)
    .option("--joint-steps <n>", "steps in which both losses train the encoder together", whole(), 100)
    .option("--batches <n>", "over which their gradients are then compared", whole(2), 32)
    .addOption(deviceOption("that computes the gradients; default: the run's"))
    .option("--threads <n>", "of the steps (default: the run's)", whole())
    .option("--json", "print the plan as JSON", false)
    .addHelpText(
      "after",
      "\nExamples:\n  layergraft graft-plan runs/photos\n  layergraft graft-plan runs/mim --lowest 0.03",
    )
    .action(async (run: string, { lowest, warmUp, jointSteps, batches, device, threads, json }: Options) => {
      const output = createOutput({ json });
      const saved = defineRecipe(openRun(run).recipe);
      const recipe = { ...saved, ...defined({ device, threads }) };
      const { stage, parent } = graftOf(run, recipe);
      const plan = { ...stage.plan!, lowest: Math.min(1, lowest), warmUpSteps: warmUp, jointSteps, batches };
      const planned = await locked(run, commandLine(), async () => {
        const found = await measurePlan(run, { ...stage, plan }, (done, total, what) => output.work(what, done, total));
        writePlan(run, found);
        return found;
      });
      output.work("", 1, 1);
      const rows = planned.blocks.map((block, i) => [
        String(i),
        block.cosine.toFixed(3),
        block.deviation.toFixed(3),
        `${Math.round(100 * block.negative)} %`,
        block.movement.toFixed(3),
        block.rate.toPrecision(2),
      ]);
      const head = ["block", "mean cosine", "deviation", "negative", "moved", "learning rate"];
      output.say(`${align([head, ...rows])}\n\n${describePlan(planned)}`);
      const rates = planned.blocks.map(({ rate }) => Number(rate.toPrecision(2))).join(",");
      output.say(`layergraft pretrain IMAGES --recipe layer-grafted --parent ${parent} --rates ${rates}`);
      output.result(planned);
    });
}

/** The contrastive stage to plan, on the run's last finished MIM stage. Throws one sentence when there is none. */
function graftOf(run: string, recipe: Recipe): { stage: ResolvedStage; parent: string } {
  const stages = resolveStages(recipe);
  const finals = listCheckpoints(run).filter(({ final }) => final);
  const checkpointOf = (name: string) => finals.find(({ stage }) => stage === name)?.path;
  const below = stages.findLast((each) => {
    const { mim, cl } = lossesOf(each);
    return mim !== undefined && cl === undefined && checkpointOf(each.name) !== undefined;
  });
  if (below === undefined)
    throw new Error(`the run in ${run} has no finished stage of masked image modelling to build on`);
  const having = [...stages, ...bothLosses(recipe, below.batch).map((stage) => resolveStage(recipe, stage))];
  const cl = having.flatMap((each) => lossesOf(each).cl ?? [])[0]!;
  const mim = { objective: lossesOf(below).mim!.spec as Planned["objective"], views: below.views };
  const plan: ResolvedStage["plan"] = { mim, lowest: 0.1, warmUpSteps: 100, jointSteps: 100, batches: 32 };
  const init = [{ stage: below.name, match: "" }];
  const stage = { ...cl, name: "graft", rates: [...frozenPatches], init, plan };
  return { stage, parent: checkpointOf(below.name)! };
}

type Planned = NonNullable<ResolvedStage["plan"]>["mim"];
