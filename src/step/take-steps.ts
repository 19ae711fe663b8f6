/** One step after another. */
import type { Samples } from "./micro-batches.ts";
import type { Step, StepResult } from "./step.ts";

/** The steps of a training, counted from 0. */
export interface Walk {
  /** The first one to take (default 0), and the one to stop before. */
  readonly from?: number;
  readonly to: number;
  samples(step: number): Samples | Promise<Samples>;
  /** Learning rate, and share of the training that is done. */
  at(step: number): { readonly rate: number; readonly progress: number };
}

export interface Taken extends StepResult {
  /** Steps taken by now, those before `from` included. */
  readonly done: number;
  readonly rate: number;
}

/** Takes the steps as they are asked for: who asks may look, save or stop between two of them. */
export async function* takeSteps(
  step: Step,
  { from = 0, to, samples, at }: Walk,
): AsyncGenerator<Taken, void, undefined> {
  for (let i = from; i < to; i++) {
    const { rate, progress } = at(i);
    const result = await step.run(await samples(i), { number: i + 1, rate, progress });
    yield { ...result, done: i + 1, rate };
  }
}
