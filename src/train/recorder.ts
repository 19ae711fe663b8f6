/** What a training reads from its run folder and leaves behind: of the processes of a job, only the first one has the folder. */
import type { Skipped } from "../data/batches/bad.ts";
import type { Finish } from "../run/finish.ts";
import type { PlannedGraft } from "../run/graft-plan.ts";
import type { ResolvedStage } from "../recipe/stage.ts";
import type { Step } from "../step/step.ts";
import type { Taken } from "../step/take-steps.ts";

export interface Recorder {
  /** Where the training goes on: in which stage, after how many of its steps. */
  readonly position: Position;
  /** Where it ends, if the run is finished early. */
  readonly finish: Finish | undefined;
  /** Told before the first step of all. Throws when a stage could not be trained once its turn comes. */
  begin(): Promise<void>;
  /** How the stage is grafted, where it asks for a plan. */
  plan(stage: ResolvedStage): Promise<PlannedGraft | undefined>;
  /** Puts the weights in place that the stage starts or goes on from. */
  restore(stage: ResolvedStage, step: Step): Promise<void>;
  openStage(stage: ResolvedStage, step: Step, length: StageLength): Promise<StageRecorder>;
  close(): void;
}

export interface Position {
  readonly stage: number;
  readonly step: number;
}

export interface StageLength {
  readonly from: number;
  readonly steps: number;
  readonly stepsPerEpoch: number;
}

export interface StageRecorder {
  /** The unreadable images that any process has met so far. */
  skipped(images: readonly Skipped[]): void;
  /** Logs the step, looks at the encoder and saves when it is time to. */
  taken(step: Taken): Promise<void>;
  /** The stage ends, or stops after `done` steps to go on later. */
  end(done: number): Promise<void>;
  /** The error that ends a training whose step number `failed` was not finite. */
  diverged(failed: number, error: Error): Error;
  close(): Promise<void>;
}

/** The recorder of the other processes. */
export const silent: Recorder = {
  position: { stage: 0, step: 0 },
  finish: undefined,
  begin: async () => undefined,
  plan: async () => undefined,
  restore: async () => undefined,
  openStage: async () => ({
    skipped: () => undefined,
    taken: async () => undefined,
    end: async () => undefined,
    diverged: (_, error) => error,
    close: async () => undefined,
  }),
  close: () => undefined,
};
