/** Protocols: how the questions of a data set are put to an encoder. Each is a line of the table below. */
import * as z from "zod";
import type { Source, SourceInput } from "../data/source.ts";
import type { Encoder } from "../evaluators/encoder.ts";
import { type Evaluator, type EvaluatorOptions, type Features, pick, type Score } from "../evaluators/evaluator.ts";
import { describeShots, fewShot, type Shots } from "../evaluators/few-shot.ts";
import { knn } from "../evaluators/knn.ts";
import { linear } from "../evaluators/linear.ts";
import { retrieval } from "../evaluators/retrieval.ts";
import { chanceOf, type Pairing, type Question, type QuestionOptions, questionsOf, splitsOf } from "./questions.ts";

/** What is measured, as a task sees it. */
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
  readonly protocol: Protocol;
  readonly label: string;
  /** What guessing the most frequent class, or any image, would reach. */
  readonly chance?: number;
  readonly question?: Question;
  /** `encoder`: it cannot be asked of pixels. */
  readonly needs: "features" | "encoder";
  /** What was asked, beside the images: rows of a table are compared only where it is the same. */
  readonly settings: object;
  run(subject: Subject, run?: TaskRun): Promise<Score>;
}

export interface TaskList {
  readonly source: Source;
  readonly tasks: readonly Task[];
  /** Why there are no tasks, when there are none. */
  readonly reason?: string;
  /** Images to show in pictures: nobody trained on them where the data set allows it. */
  readonly shown: Source;
}

const shots = z.union([
  z.int().min(1),
  z.string().regex(/^\d+(\.\d+)?%$/, "a number of labels per class, or a share such as 10%"),
]);
const settings = {
  knn: z.strictObject({ ks: z.array(z.int().min(1)).min(1), temperature: z.number().positive() }).partial(),
  linear: z.strictObject({ lambdas: z.array(z.number().positive()).min(1) }).partial(),
  "few-shot": z.strictObject({
    shots: z.array(shots).min(1).default([1, 5]),
    draws: z.int().min(1).default(5),
    lambda: z.number().positive().optional(),
  }),
  retrieval: z.strictObject({}),
};
export type Protocol = keyof typeof settings;
export const protocols = Object.keys(settings) as Protocol[];
/** What is asked when nobody says what: all but what takes minutes. */
export const usual: readonly Protocol[] = protocols;
/** Options of the protocols, by their names. */
export type ProtocolSettings = { [P in Protocol]?: z.input<(typeof settings)[P]> };

export interface TaskOptions extends QuestionOptions, EvaluatorOptions {
  readonly settings?: ProtocolSettings;
}

/** Every task of every protocol for a source; none when it has no classes. Throws one sentence for a setting that is wrong. */
export async function tasksOf(input: SourceInput, options: TaskOptions = {}): Promise<TaskList> {
  const { seed = 0, limit, threads } = options;
  const chosen = checkSettings(options.settings);
  const { questions, pairings, ...rest } = await questionsOf(input, options);
  const all = questions.filter(({ only }) => only === undefined);

  const classified = <O extends EvaluatorOptions>(
    evaluator: Evaluator<O>,
    protocol: Protocol,
    title: string,
    question: Question,
    own: O,
  ): Task => ({
    protocol,
    label: `${title}, ${question.what}`,
    chance: chanceOf(question),
    question,
    needs: "features",
    settings: { seed, limit, ...own },
    run: async ({ features }) => (await evaluator.run(splitsOf(question, await features()), { ...own, threads }))[0]!,
  });
  const few = (shot: Shots, question: Question): Task => ({
    ...classified(fewShot, "few-shot", describeShots(shot), question, { ...chosen["few-shot"], shots: [shot] }),
    chance: 1 / question.classes.length,
  });
  const retrieved = ({ what, identities, queries, gallery }: Pairing): Task => ({
    protocol: "retrieval",
    label: what,
    chance: 1 / gallery.length,
    needs: "features",
    settings: {},
    async run(subject) {
      const features = await subject.features();
      const collection = (rows: readonly number[]) => {
        const picked = pick({ features, labels: identities }, rows);
        return { features: picked.features, identities: picked.labels };
      };
      return retrieval(collection(queries), collection(gallery), { threads });
    },
  });
  const tasks = [
    ...all.map((question) => classified(knn, "knn", "k-NN", question, chosen.knn)),
    ...all.map((question) => classified(linear, "linear", "linear probe", question, chosen.linear)),
    ...all.slice(0, 1).flatMap((question) => chosen["few-shot"].shots.map((shot) => few(shot as Shots, question))),
    ...questions
      .filter(({ only }) => only === "knn")
      .map((question) => classified(knn, "knn", "k-NN", question, chosen.knn)),
    ...pairings.map(retrieved),
  ];
  return { ...rest, tasks };
}

type Chosen = { [P in Protocol]: z.infer<(typeof settings)[P]> };

function checkSettings(given: ProtocolSettings = {}): Chosen {
  const stranger = Object.keys(given).find((name) => !(name in settings));
  if (stranger !== undefined)
    throw new Error(`there is no protocol ${stranger} to set options of; available: ${protocols.join(", ")}`);
  const checked = protocols.map((protocol) => {
    const result = settings[protocol].safeParse(given[protocol] ?? {});
    if (result.success) return [protocol, result.data] as const;
    const [issue] = result.error.issues as [z.core.$ZodIssue];
    const problem =
      issue.code === "unrecognized_keys"
        ? `has no option ${issue.keys.join(", ")}; it has: ${Object.keys(settings[protocol].shape).join(", ") || "none"}`
        : `cannot be run: ${issue.path.join(".")}: ${issue.message}`;
    throw new Error(`the protocol ${protocol} ${problem}`);
  });
  return Object.fromEntries(checked) as Chosen;
}
