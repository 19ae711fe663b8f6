/** The loop that turns the handle: batch, step, log, checkpoint; stage after stage. Runs in a process of its own. */
import { latestCheckpoint, pruneCheckpoints, readCheckpoint, saveCheckpoint } from "../run/checkpoint.ts";
import { MetricsLog, type MetricRow, readMetrics, rewindMetrics } from "../run/metrics.ts";
import { addNotes, readNotes } from "../run/notes.ts";
import { readPlan, writePlan } from "../run/graft-plan.ts";
import { writeSamples } from "../run/samples.ts";
import { rewindTensorBoard, TensorBoardLog } from "../run/tensorboard.ts";
import { alone, type Collective } from "../collective/collective.ts";
import { assist, type Task } from "./assist.ts";
import { estimate, type StageEstimate } from "../cost/estimate.ts";
import { evaluationViewOf, objectiveOf, type Recipe, type Stage } from "../recipe/recipe.ts";
import { createStageStep, openStageLoader, rateAt, samplesOf, stepsOf } from "../recipe/stage.ts";
import { describePlan, measurePlan, withPlan } from "../graft/measure.ts";
import { checkData, fromFirst, inEvery, meetings, shareState, type Word } from "./job.ts";
import { layerRates } from "../graft/layer-rates.ts";
import { type Monitor, openMonitors } from "../measure/monitor.ts";
import { checkStarts, initialise } from "../recipe/start.ts";
import { NonFiniteError } from "../step/step.ts";

/** What the loop tells the outside, as plain data that can cross a process border. */
export type TrainEvent =
  | { readonly kind: "started"; readonly pid: number }
  | { readonly kind: "estimate"; readonly stages: readonly StageEstimate[]; readonly bytes: number }
  | {
      readonly kind: "stage";
      readonly stage: string;
      readonly epochs: number;
      readonly steps: number;
      readonly from: number;
    }
  | { readonly kind: "step"; readonly row: MetricRow; readonly steps: number; readonly images: number }
  | { readonly kind: "checkpoint"; readonly path: string }
  | { readonly kind: "note"; readonly text: string }
  | { readonly kind: "done"; readonly finished: boolean };

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
  if (collective.rank > 0) {
    await assist(recipe, collective, stopRequested);
    return emit({ kind: "done", finished: true });
  }
  const names = recipe.stages.map(({ name }) => name);
  const { checkpoint, skipped } = resume ? latestCheckpoint(dir) : { checkpoint: undefined, skipped: [] };
  for (const { reason } of skipped) emit({ kind: "note", text: reason });
  const position = { stage: checkpoint?.stage ?? names[0]!, step: checkpoint?.step ?? 0, stages: names };
  rewindMetrics(dir, position);
  rewindTensorBoard(dir, position);
  const logs = [new MetricsLog(dir), new TensorBoardLog(dir)] as const;

  const within = checkpoint?.final === false ? checkpoint : undefined;
  const first = names.indexOf(position.stage) + Number(checkpoint?.final ?? false);
  const noted = new Set(readNotes(dir).skipped.map(({ path }) => path));
  try {
    if (first < names.length) {
      checkStarts(recipe.stages.slice(within === undefined ? first : first + 1));
      emit({ kind: "estimate", ...(await estimate(recipe, { stage: first, step: within?.step ?? 0 }, collective)) });
    }
    for (const [index, stage] of recipe.stages.entries()) {
      if (index < first) continue;
      const from = index === first ? within?.path : undefined;
      const planned = await planStage(dir, recipe, stage, { again: from !== undefined, emit });
      const context = { index, from, noted, logs, emit, stopRequested, collective };
      const finished = await trainStage(dir, recipe, planned, context);
      if (finished) continue;
      fromFirst<Task>(collective, () => null);
      return emit({ kind: "done", finished: false });
    }
    fromFirst<Task>(collective, () => null);
    emit({ kind: "done", finished: true });
  } finally {
    for (const log of logs) log.close();
  }
}

/** The stage as it is trained: a planned graft is measured when the stage begins, and read when it goes on. */
async function planStage(
  dir: string,
  recipe: Recipe,
  stage: Stage,
  { again, emit }: { again: boolean; emit: TrainOptions["emit"] },
): Promise<Stage> {
  if (stage.plan === undefined) return stage;
  let plan = again ? readPlan(dir, stage.name) : undefined;
  if (plan === undefined) {
    emit({ kind: "note", text: `measuring how the two losses conflict, to plan the graft of ${stage.name}` });
    plan = await measurePlan(dir, recipe, stage);
    writePlan(dir, plan);
  }
  const planned = withPlan(stage, plan);
  const stages = recipe.stages.map((each) => (each.name === stage.name ? planned : each));
  writeSamples(dir, { learningRates: layerRates({ ...recipe, stages }) });
  emit({ kind: "note", text: describePlan(plan) });
  return planned;
}

interface StageOptions extends Omit<TrainOptions, "resume"> {
  readonly index: number;
  /** Checkpoint to continue from. */
  readonly from: string | undefined;
  /** Unreadable images that were told of: every stage meets them anew. */
  readonly noted: Set<string>;
  readonly logs: readonly [MetricsLog, TensorBoardLog];
  readonly collective: Collective;
}

/** One stage from its first or its last saved step; false when it was asked to stop before the end. */
async function trainStage(dir: string, recipe: Recipe, stage: Stage, options: StageOptions): Promise<boolean> {
  const { index, from, noted, logs, emit, stopRequested, collective } = options;
  const resumed = from === undefined ? undefined : readCheckpoint(from);
  let done = Number(resumed?.metadata["step"] ?? 0);
  fromFirst<Task>(collective, () => ({ stage, from: done }));
  const loader = await inEvery(collective, () => openStageLoader(recipe, stage, collective));
  checkData(collective, loader.source);
  const step = await createStageStep(recipe, stage, collective);
  if (resumed === undefined) initialise(dir, recipe, stage, step);
  else step.state.load(resumed.tensors);
  shareState(collective, step.state);
  const { stepsPerEpoch } = loader;
  const steps = stepsOf(stage, stepsPerEpoch);
  const monitors = await openMonitors(recipe, stage, step, stepsPerEpoch);
  const logEvery = Math.max(1, Math.floor(steps / 500));
  emit({ kind: "stage", stage: stage.name, epochs: stage.epochs, steps, from: done });

  const meet = meetings(collective);
  let skipped: Word["skipped"] = [];
  const save = (final: boolean) => {
    logs[0].sync();
    const tensors = [...step.state.tensors()].filter(([name]) => !final || !name.startsWith("optimizer."));
    const { path } = saveCheckpoint(dir, {
      stageIndex: index + 1,
      stage: stage.name,
      step: done,
      final,
      tensors: new Map(tensors),
      metadata: checkpointMetadata(recipe, stage),
    });
    pruneCheckpoints(dir, { keep: recipe.keepCheckpoints });
    addNotes(dir, { skipped: skipped.map(({ id, reason }) => ({ path: id, reason })) });
    emit({ kind: "checkpoint", path });
  };

  const first = done;
  const meter = secondsSince(first);
  let saved = performance.now();
  try {
    for (;;) {
      const word = meet({ stop: stopRequested(), skipped: loader.skipped });
      ({ skipped } = word);
      for (const { id, reason } of skipped)
        if (!noted.has(id)) {
          noted.add(id);
          emit({ kind: "note", text: `skipped ${id}: ${reason}` });
        }
      if (word.stop || done === steps) {
        save(done === steps);
        return done === steps;
      }
      const at = rateAt(stage, done / stepsPerEpoch);
      const result = await step.run(samplesOf(loader, done), { number: done + 1, ...at });
      done++;

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
          loss: result.loss,
          learningRate: at.rate,
          gradientNorm: result.gradientNorm,
          ...result.metrics,
          ...watched,
          imagesPerSecond: stage.batch / secondsPerStep,
          secondsPerStep,
        };
        for (const log of logs) log.append(row);
        emit({ kind: "step", row, steps, images: stage.batch });
        if (due.length > 0) tellWarnings(dir, due, stage.name, emit);
      }
      const saveNow =
        recipe.checkpointSteps === undefined
          ? performance.now() - saved > recipe.checkpointMinutes * 60_000
          : done % recipe.checkpointSteps === 0;
      if (saveNow && done < steps) {
        save(false);
        saved = performance.now();
      }
    }
  } catch (error) {
    if (!(error instanceof NonFiniteError)) throw error;
    const message =
      `stage ${stage.name} stopped at step ${done + 1} of ${steps}: ${error.message}; the checkpoints before it are whole. ` +
      `Start again with a lower learning rate (now ${stage.learningRate}) or a longer warm-up`;
    addNotes(dir, { warnings: [message] });
    throw new Error(message, { cause: error });
  } finally {
    await loader.close();
    await Promise.all([step, ...monitors].map((each) => each.release()));
  }
}

/** Tells what the monitors find in the log of the stage, now and in the report. */
function tellWarnings(dir: string, monitors: readonly Monitor[], stage: string, emit: TrainOptions["emit"]) {
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

/** What a reader of the checkpoint alone needs in order to use the encoder, or to go on with MAE's decoder. */
function checkpointMetadata(recipe: Recipe, stage: Stage): Record<string, string> {
  const metadata = {
    model: JSON.stringify(recipe.model),
    encoder: objectiveOf(recipe, stage).encoder,
    view: JSON.stringify(evaluationViewOf(recipe)),
  };
  if (stage.objective.kind !== "mae") return metadata;
  const { decoderWidth, decoderDepth, decoderHeads } = stage.objective;
  return { ...metadata, decoder: JSON.stringify({ decoderWidth, decoderDepth, decoderHeads }) };
}
