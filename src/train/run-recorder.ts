/** The recorder of a run folder: checkpoints, metrics, notes, and events for whoever watches. */
import { rangeOf } from "../data/sources/range.ts";
import { encoderHeader } from "../evaluators/encoder.ts";
import type { Skipped } from "../data/batches/bad.ts";
import { latestCheckpoint, pruneCheckpoints, readCheckpoint, saveCheckpoint } from "../run/checkpoint.ts";
import { readFinish } from "../run/finish.ts";
import { readPlan, writePlan } from "../run/graft-plan.ts";
import { MetricsLog, readMetrics, rewindMetrics } from "../run/metrics.ts";
import { addNotes, readNotes } from "../run/notes.ts";
import { writeSamples } from "../run/samples.ts";
import { rewindTensorBoard, TensorBoardLog } from "../run/tensorboard.ts";
import type { Collective } from "../collective/collective.ts";
import { estimate } from "../cost/estimate.ts";
import { layerRates } from "../graft/layer-rates.ts";
import { describePlan, measurePlan, withPlan } from "../graft/measure.ts";
import { type Monitor, openMonitors } from "../measure/monitor.ts";
import { printable } from "../tensor/text.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { finishedEarly, type ResolvedStage, resolveStages } from "../recipe/stage.ts";
import { checkStarts, initialise } from "../recipe/start.ts";
import type { Step } from "../step/step.ts";
import type { TrainEvent } from "./events.ts";
import { describeFinish } from "./finish.ts";
import type { Recorder, StageLength, StageRecorder } from "./recorder.ts";

export interface RunRecorderOptions {
  /** Go on from the newest whole checkpoint; else start at the beginning. */
  readonly resume: boolean;
  emit(event: TrainEvent): void;
  readonly collective: Collective;
}

/** What the recorders of the stages share. */
interface Run {
  readonly dir: string;
  readonly recipe: Recipe;
  readonly logs: readonly [MetricsLog, TensorBoardLog];
  /** Unreadable images that were told of: every stage meets them anew. */
  readonly noted: Set<string>;
  emit(event: TrainEvent): void;
}

/** Opens the folder. What it logged after the checkpoint that the training goes on from is cut off. */
export function openRunRecorder(dir: string, recipe: Recipe, options: RunRecorderOptions): Recorder {
  const { resume, emit, collective } = options;
  const stages = resolveStages(recipe);
  const names = stages.map(({ name }) => name);
  const finish = readFinish(dir);
  const { checkpoint, skipped } = resume ? latestCheckpoint(dir) : { checkpoint: undefined, skipped: [] };
  for (const { reason } of skipped) emit({ kind: "note", text: reason });
  const kept = { stage: checkpoint?.stage ?? names[0]!, step: checkpoint?.step ?? 0, stages: names };
  rewindMetrics(dir, kept);
  rewindTensorBoard(dir, kept);
  const within = checkpoint?.final === false ? checkpoint : undefined;
  const position = {
    stage: names.indexOf(kept.stage) + Number(checkpoint?.final ?? false),
    step: within?.step ?? 0,
  };
  const noted = new Set(readNotes(dir).skipped.map(({ path }) => path));
  const run: Run = { dir, recipe, logs: [new MetricsLog(dir), new TensorBoardLog(dir)], noted, emit };
  const goesOn = ({ name }: ResolvedStage) => within?.stage === name;

  return {
    position,
    finish,
    async begin() {
      if (finish !== undefined)
        emit({ kind: "note", text: `this run finishes early, ${describeFinish(finish, names)}` });
      const left = finishedEarly(stages, finish).slice(position.stage);
      if (left.length === 0) return;
      checkStarts(left.filter((stage) => !goesOn(stage)));
      emit({ kind: "estimate", ...(await estimate(left, position.step, collective)) });
    },
    async plan(stage) {
      if (stage.plan === undefined) return undefined;
      let plan = goesOn(stage) ? readPlan(dir, stage.name) : undefined;
      if (plan === undefined) {
        emit({ kind: "note", text: `measuring how the two losses conflict, to plan the graft of ${stage.name}` });
        plan = await measurePlan(dir, stage);
        writePlan(dir, plan);
      }
      const planned = withPlan(stage, plan);
      const learningRates = layerRates(stages.map((each) => (each.name === stage.name ? planned : each)));
      writeSamples(dir, { learningRates });
      emit({ kind: "note", text: describePlan(plan) });
      return plan;
    },
    async restore(stage, step) {
      if (goesOn(stage)) await step.state.write(readCheckpoint(within!.path).tensors);
      else await initialise(dir, stage, step);
    },
    openStage: (stage, step, length) => openStage(run, stage, step, length),
    close() {
      for (const log of run.logs) log.close();
    },
  };
}

async function openStage(
  { dir, recipe, logs, noted, emit }: Run,
  stage: ResolvedStage,
  step: Step,
  { from, steps, stepsPerEpoch }: StageLength,
): Promise<StageRecorder> {
  const monitors = await openMonitors(stage, step, stepsPerEpoch);
  const logEvery = Math.max(1, Math.floor(steps / 500));
  const meter = secondsSince(from);
  let skipped: readonly Skipped[] = [];
  let saved = performance.now();
  const epochs = stage.finish === undefined ? stage.epochs : steps / stepsPerEpoch;
  emit({ kind: "stage", stage: stage.name, epochs, steps, from });

  async function save(done: number) {
    const final = done === steps;
    logs[0].sync();
    const { path } = saveCheckpoint(dir, {
      stageIndex: 1 + recipe.stages.findIndex(({ name }) => name === stage.name),
      stage: stage.name,
      step: done,
      final,
      tensors: await step.state.read({ moments: !final }),
      metadata: checkpointMetadata(stage),
    });
    pruneCheckpoints(dir, { keep: recipe.keepCheckpoints });
    addNotes(dir, { skipped: skipped.map(({ id, reason }) => ({ path: id, reason })) });
    emit({ kind: "checkpoint", path });
  }

  const isTimeToSave = (done: number) =>
    recipe.checkpointSteps === undefined
      ? performance.now() - saved > recipe.checkpointMinutes * 60_000
      : done % recipe.checkpointSteps === 0;

  return {
    skipped(images) {
      skipped = images;
      for (const { id, reason } of images)
        if (!noted.has(id)) {
          noted.add(id);
          emit({ kind: "note", text: `skipped ${printable(id)}: ${reason}` });
        }
    },
    async taken({ done, rate, loss, gradientNorm, metrics }) {
      const due = monitors.filter((monitor) => monitor.due(done));
      if (done === 1 || done % logEvery === 0 || done === steps || due.length > 0) {
        const secondsPerStep = meter(done);
        const watched: Record<string, number> = {};
        for (const monitor of due) Object.assign(watched, await monitor.measure());
        if (due.length > 0) meter(done); // the steps that follow do not pay for it
        const row = {
          stage: stage.name,
          step: done,
          epoch: done / stepsPerEpoch,
          loss,
          learningRate: rate,
          gradientNorm,
          ...metrics,
          ...watched,
          imagesPerSecond: stage.batch / secondsPerStep,
          secondsPerStep,
        };
        for (const log of logs) log.append(row);
        emit({ kind: "step", row, steps, images: stage.batch });
        if (due.length > 0) tellWarnings(dir, due, stage.name, emit);
      }
      if (done < steps && isTimeToSave(done)) {
        await save(done);
        saved = performance.now();
      }
    },
    end: save,
    diverged(failed, error) {
      const message =
        `stage ${stage.name} stopped at step ${failed} of ${steps}: ${error.message}; the checkpoints before it are whole. ` +
        `Start again with a lower learning rate (now ${stage.learningRate}) or a longer warm-up`;
      addNotes(dir, { warnings: [message] });
      return new Error(message, { cause: error });
    },
    async close() {
      await Promise.all(monitors.map((monitor) => monitor.release()));
    },
  };
}

/** Tells what the monitors find in the log of the stage, now and in the report. */
function tellWarnings(dir: string, monitors: readonly Monitor[], stage: string, emit: Run["emit"]) {
  const rows = readMetrics(dir).filter((row) => row.stage === stage);
  const warnings = monitors.flatMap((monitor) => monitor.warning?.(rows) ?? []);
  for (const text of warnings) emit({ kind: "note", text });
  if (warnings.length > 0) addNotes(dir, { warnings });
}

/** Mean seconds per step since the last call, or since the start at step `from`. */
function secondsSince(from: number): (step: number) => number {
  let [last, since] = [from, performance.now()];
  return (step) => {
    const now = performance.now();
    const seconds = (now - since) / 1000 / Math.max(1, step - last);
    [last, since] = [step, now];
    return seconds;
  };
}

/** What a reader of the checkpoint alone needs in order to use the encoder, or to go on with what was trained beside it. */
function checkpointMetadata({ model, objective, evaluationView, data }: ResolvedStage): Record<string, string> {
  const { encoder, metadata } = objective;
  return { ...encoderHeader({ model, view: evaluationView, range: rangeOf(data.source) }, encoder), ...metadata };
}
