/**
 * The loop that turns the handle: stage after stage, step after step, on every process of a job alike. The first process
 * has the run folder, so it records what the others do silently. Runs in a process of its own.
 */
import { DeviceLostError } from "../backend/open.ts";
import { alone, type Collective } from "../collective/collective.ts";
import { withPlan } from "../graft/measure.ts";
import type { Recipe } from "../recipe/recipe.ts";
import {
  createStageStep,
  finishedEarly,
  openStageLoader,
  type ResolvedStage,
  resolveStages,
  samplesOf,
  scheduleAt,
  stepsLeft,
} from "../recipe/stage.ts";
import { NonFiniteError } from "../step/step.ts";
import { takeSteps } from "../step/take-steps.ts";
import type { TrainEvent } from "./events.ts";
import { checkData, fromFirst, inEvery, ofProcess, shareState, statusExchange } from "./job.ts";
import { type Recorder, silent } from "./recorder.ts";
import { openRunRecorder } from "./run-recorder.ts";

export interface TrainOptions {
  readonly resume: boolean;
  emit(event: TrainEvent): void;
  /** Asked before every step: true saves a checkpoint and ends the loop. */
  stopRequested(): boolean;
  /** The processes that train together; the folder is the first one's. Default: this one alone. */
  readonly collective?: Collective;
}

/** Trains the recipe of the run in `dir` to its end, or until asked to stop. Continues from the newest whole checkpoint. */
export async function train(dir: string, recipe: Recipe, options: TrainOptions): Promise<void> {
  const { resume, emit, stopRequested, collective = alone } = options;
  emit({ kind: "started", pid: process.pid });
  const recorder = collective.rank === 0 ? openRunRecorder(dir, recipe, { resume, emit, collective }) : silent;
  try {
    await recorder.begin();
    const position = await fromFirst(collective, () => recorder.position);
    const finish = await fromFirst(collective, () => recorder.finish ?? null);
    let finished = true;
    for (const [index, stage] of finishedEarly(resolveStages(recipe), finish).entries()) {
      if (index < position.stage || !finished) continue;
      const plan = await fromFirst(collective, async () => (await recorder.plan(stage)) ?? null);
      const planned = plan === null ? stage : withPlan(stage, plan);
      const from = index === position.stage ? position.step : 0;
      finished = await trainStage(planned, from, { collective, recorder, stopRequested });
    }
    emit({ kind: "done", finished });
  } finally {
    recorder.close();
  }
}

interface StageOptions extends Pick<TrainOptions, "stopRequested"> {
  readonly collective: Collective;
  readonly recorder: Recorder;
}

/** One stage from its first or its last saved step; false when it was asked to stop before the end. */
async function trainStage(
  stage: ResolvedStage,
  from: number,
  { collective, recorder, stopRequested }: StageOptions,
): Promise<boolean> {
  const loader = await inEvery(collective, () => openStageLoader(stage, collective));
  checkData(collective, loader.source);
  const step = await createStageStep(stage, { collective });
  await recorder.restore(stage, step);
  await shareState(collective, step.state);
  const { stepsPerEpoch } = loader;
  const steps = from + stepsLeft(stage, stepsPerEpoch, from);
  const record = await recorder.openStage(stage, step, { from, steps, stepsPerEpoch });
  const walk = {
    from,
    to: steps,
    samples: (i: number) => samplesOf(loader, i),
    at: (i: number) => scheduleAt(stage, i, stepsPerEpoch),
  };

  const exchange = statusExchange(collective);
  /** Whether all processes take another step. */
  const goOn = () => {
    const { stop, skipped } = exchange({ stop: stopRequested(), skipped: loader.skipped });
    record.skipped(skipped);
    return !stop;
  };
  let done = from;
  try {
    if (goOn())
      for await (const taken of takeSteps(step, walk)) {
        ({ done } = taken);
        await record.taken(taken);
        if (!goOn()) break;
      }
    await record.end(done);
    return done === steps;
  } catch (error) {
    if (error instanceof NonFiniteError && collective.rank > 0) collective.barrier(); // the first one says so and ends the job
    if (error instanceof NonFiniteError) throw record.diverged(done + 1, error);
    if (error instanceof DeviceLostError) throw interrupted(stage, done, error);
    throw collective.rank === 0 ? error : ofProcess(collective, error as Error);
  } finally {
    await loader.close();
    await Promise.all([step.release(), record.close()]);
  }
}

/** What the reader does about a device that was lost in the middle of a stage. */
function interrupted({ name, device }: ResolvedStage, done: number, error: DeviceLostError): Error {
  return new Error(
    `stage ${name} stopped after step ${done}: ${error.message}; its checkpoints are whole, resume the run with ` +
      `--device ${device}, or with --device cpu`,
    { cause: error },
  );
}
