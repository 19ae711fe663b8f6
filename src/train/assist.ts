/** What the processes of a job other than the first do: the same steps on their own share of every batch, and nothing else. */
import type { Collective } from "../collective/collective.ts";
import { checkData, fromFirst, inEvery, meetings, ofProcess, shareState } from "./job.ts";
import type { Recipe, Stage } from "../recipe/recipe.ts";
import { createStageStep, openStageLoader, rateAt, samplesOf, stepsOf } from "../recipe/stage.ts";
import { NonFiniteError } from "../step/step.ts";

/** A stage as process 0 trains it; nothing: the job is done. */
export type Task = { readonly stage: Stage; readonly from: number } | null;

/** Trains along with process 0 until it says that the job is done. */
export async function assist(recipe: Recipe, collective: Collective, stopRequested: () => boolean): Promise<void> {
  for (;;) {
    const task = fromFirst<Task>(collective, () => null);
    if (task === null) return;
    const { stage, from } = task;
    const loader = await inEvery(collective, () => openStageLoader(recipe, stage, collective));
    checkData(collective, loader.source);
    const step = await createStageStep(recipe, stage, collective);
    shareState(collective, step.state);
    const steps = stepsOf(stage, loader.stepsPerEpoch);
    const meet = meetings(collective);
    try {
      for (let done = from; ; done++) {
        const { stop } = meet({ stop: stopRequested(), skipped: loader.skipped });
        if (stop || done === steps) break;
        await step.run(samplesOf(loader, done), { number: done + 1, ...rateAt(stage, done / loader.stepsPerEpoch) });
      }
    } catch (error) {
      // It is not finite in any process: the first one says so and ends the job.
      if (!(error instanceof NonFiniteError)) throw ofProcess(collective, error as Error);
      collective.barrier();
    } finally {
      await Promise.all([loader.close(), step.release()]);
    }
  }
}
