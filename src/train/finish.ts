/** Finishing a run early: the stage that was stopped is annealed in a few more steps, and the run ends there. */
import { latestCheckpoint, listCheckpoints } from "../run/checkpoint.ts";
import { type Finish, readFinish, writeFinish } from "../run/finish.ts";
import { addNotes } from "../run/notes.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { openStageLoader, resolveStages, stepsLeft } from "../recipe/stage.ts";

/** A learning rate needs some steps to fall in, however few were taken before. */
const leastSteps = 5;

/**
 * Decides where the run ends, and writes it into the folder: the training reads it there. A finish that was decided before
 * stays as it is. Throws one sentence when there is nothing to finish.
 */
export async function decideFinish(dir: string, recipe: Recipe): Promise<void> {
  const stages = resolveStages(recipe);
  const names = stages.map(({ name }) => name);
  const { checkpoint } = latestCheckpoint(dir);
  const index = checkpoint === undefined ? 0 : names.indexOf(checkpoint.stage);
  const before = readFinish(dir);
  const last = before === undefined ? names.length - 1 : names.indexOf(before.stage);
  if (index > last || (index === last && checkpoint?.final === true))
    throw new Error(`the run in ${dir} has finished: there is no training left to finish early`);
  if (before !== undefined) return;
  if (checkpoint === undefined || (index === 0 && checkpoint.step === 0))
    throw new Error(`the run in ${dir} has saved no step yet, so there is nothing to finish; resume it`);

  const { final, step } = checkpoint;
  const between = final || step === 0;
  const stage = stages[step === 0 ? index - 1 : index]!;
  const loader = await openStageLoader({ ...stage, data: { ...stage.data, workers: 0 } });
  await loader.close();
  const taken = between ? 0 : step;
  const planned = taken + stepsLeft(stage, loader.stepsPerEpoch, taken);
  const from = between ? planned : step;
  const to = Math.min(planned, from + Math.max(leastSteps, Math.ceil(stage.anneal * from)));
  const finish = { stage: stage.name, from, to, planned };
  writeFinish(dir, finish);
  addNotes(dir, { facts: [{ name: "Finished early", value: describeFinish(finish, names) }] });
}

/** Where the run ends and what it leaves out, for a reader. */
export function describeFinish({ stage, from, to, planned }: Finish, names: readonly string[]): string {
  const left = names.slice(names.indexOf(stage) + 1);
  const where =
    from === planned
      ? `after stage ${stage}`
      : `at step ${to} of ${planned} of stage ${stage}, annealed from step ${from}`;
  if (left.length === 0) return where;
  return `${where}; ${left.length === 1 ? `stage ${left[0]} is` : `stages ${left.join(", ")} are`} left out`;
}

/** Whether a stopped run has taken steps that can be finished, and nobody has asked for it yet. */
export function canFinish(dir: string): boolean {
  return readFinish(dir) === undefined && listCheckpoints(dir).some(({ step }) => step > 0);
}
