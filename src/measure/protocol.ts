/**
 * The contract of a protocol, a way to ask an encoder the questions that a data set allows. The built-in ones are a file
 * each in `protocols/`; `evaluate` takes others beside them.
 */
import type * as z from "zod";
import type { Question, Questions } from "../data/question.ts";
import type { Encoder } from "../evaluators/encoder.ts";
import type { EvaluatorOptions, Features, Score } from "../evaluators/evaluator.ts";
import { chanceOf } from "./questions.ts";

/** What is measured, as a task sees it: a candidate that was opened. */
export interface Subject {
  /** Features of all images of the source, computed once. */
  features(): Promise<Features>;
  /** The encoder itself; missing where there is none, as for pixels. */
  readonly encoder?: Encoder;
}

export interface TaskRun {
  /** Steps of any unit. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** One row of the result table. */
export interface Task {
  /** `k-NN, 98 subgroups`: names the row, also when it is measured again. */
  readonly label: string;
  /** What guessing the most frequent class, or any image, would reach. */
  readonly chance?: number;
  /** Its test images are those that the predictions of a score are of. */
  readonly question?: Question;
  /** `encoder`: it cannot be asked of pixels. */
  readonly needs: "features" | "encoder";
  /** What was asked, beside the images: rows of a table are compared only where it is the same. */
  readonly settings: object;
  run(subject: Subject, run?: TaskRun): Promise<Score>;
}

/** What the numbers of a protocol are. */
export interface Metric {
  /** For readers, with the unit where it has one: `accuracy`, `localisation error, px`. */
  readonly name: string;
  /** It lies in [0, 1] and is shown as a percentage (default); otherwise the number is shown as it is. */
  readonly share?: boolean;
  /** Which direction is better (default: higher). */
  readonly better?: "higher" | "lower";
}

export const accuracy: Metric = { name: "accuracy" };

/** What a protocol is asked about: rows count in the source. */
export type Asked = Pick<Questions, "source" | "questions" | "pairings">;

/** What is the same for all protocols of an evaluation. */
export interface ProtocolOptions extends EvaluatorOptions {
  readonly seed: number;
  /** Of the images. */
  readonly limit: number | undefined;
}

export interface Protocol<Name extends string = string, Settings extends z.ZodObject = z.ZodObject> {
  readonly name: Name;
  /** Whether it is asked when nobody says what: it takes a moment. */
  readonly usual: boolean;
  readonly metric: Metric;
  /** The schema of its settings. Whatever is left open has a default, so `{}` is valid. */
  readonly settings: Settings;
  /**
   * The tasks that it makes of questions and pairings; none of those it has nothing to ask about. It is given first the
   * questions that all protocols are asked, then those for it alone (`Question.only`) with the pairings.
   */
  tasks(asked: Asked, settings: z.output<Settings>, options: ProtocolOptions): readonly Task[];
}

/** What a task about classes has beside the way it is run. */
export function classTask(
  title: string,
  question: Question,
  settings: object,
  { seed, limit }: ProtocolOptions,
): Required<Pick<Task, "label" | "chance" | "question" | "settings">> {
  return {
    label: `${title}, ${question.what}`,
    chance: chanceOf(question),
    question,
    settings: { seed, limit, ...settings },
  };
}
