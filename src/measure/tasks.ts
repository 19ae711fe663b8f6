/** Protocols: how the questions of a data set are put to an encoder. Each has its options and its task below. */
import * as z from "zod";
import type { Source } from "../data/source.ts";
import type { SourceInput } from "../data/sources/open.ts";
import type { Encoder } from "../evaluators/encoder.ts";
import { type Evaluator, type EvaluatorOptions, type Features, pick, type Score } from "../evaluators/evaluator.ts";
import { describeShots, drawLabels, fewShot, type Shots } from "../evaluators/few-shot.ts";
import { rowsOfSplitFile } from "../data/formats/image-list.ts";
import { augmentedLinearSweep, linearSweep } from "../evaluators/linear-sweep.ts";
import { describeVote, knn, leaveOneOut } from "../evaluators/knn.ts";
import { linear } from "../evaluators/linear.ts";
import { sweepSettings } from "../evaluators/sweep-recipe.ts";
import { retrieval } from "../evaluators/retrieval.ts";
import { fineTune } from "./finetune.ts";
import { fineTuneSettings } from "./finetune-settings.ts";
import {
  chanceOf,
  type Pairing,
  type Question,
  type QuestionOptions,
  questionsOf,
  readable,
  splitsOf,
} from "./questions.ts";

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

/** Which images are labelled: so many of each class, a share of them (`10%`), or those that a split file names. */
const shots = z.union([z.int().min(1), z.string().min(1)]);
export type LabelChoice = z.infer<typeof shots>;
const votes = z
  .strictObject({ ks: z.array(z.int().min(1)).min(1), temperatures: z.array(z.number().positive()).min(1) })
  .partial();
const settings = {
  knn: votes,
  "leave-one-out": votes,
  linear: z.strictObject({ lambdas: z.array(z.number().positive()).min(1) }).partial(),
  "few-shot": z.strictObject({
    shots: z.array(shots).min(1).default([1, 5]),
    draws: z.int().min(1).default(5),
    preparation: z.enum(["paper", "standardized"]).optional(),
    lambda: z.number().positive().optional(),
  }),
  retrieval: z.strictObject({}),
  "linear-sweep": sweepSettings.extend({ augmented: z.boolean().optional() }),
  "fine-tune": fineTuneSettings.extend({ labels: shots.optional() }),
};
export type Protocol = keyof typeof settings;
export const protocols = Object.keys(settings) as Protocol[];
/** What is asked when nobody says what: all but what takes minutes. */
export const usual = ["knn", "linear", "few-shot", "retrieval"] as const satisfies readonly Protocol[];
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
  const few = (shot: LabelChoice, question: Question): Task => {
    const { shots: _, ...own } = chosen["few-shot"];
    const options = { ...own, seed };
    return {
      ...classified(fewShot, "few-shot", describeChoice(shot), question, { ...options, shots: [shot as Shots] }),
      chance: 1 / question.classes.length,
      async run({ features }) {
        const known = await features();
        const { train } = readable(question, known).rows;
        const places = new Map(train.map((row, place) => [row, place]));
        const labelled = isDrawn(shot)
          ? shot
          : {
              file: shot,
              rows: (await listedRows(shot, question, rest.source)).flatMap((row) => places.get(row) ?? []),
            };
        return (await fewShot.run(splitsOf(question, known), { ...options, shots: [labelled], threads }))[0]!;
      },
    };
  };
  const leftOut = (question: Question): Task => ({
    ...classified(
      knn,
      "leave-one-out",
      "k-NN, leave one out of the training images",
      question,
      chosen["leave-one-out"],
    ),
    async run({ features }) {
      const { best } = await leaveOneOut(splitsOf(question, await features()).train, {
        ...chosen["leave-one-out"],
        threads,
      });
      return {
        name: "leave-one-out",
        value: best.value,
        detail: describeVote(best),
      };
    },
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
  const sweep = (question: Question): Task => {
    const { augmented = false, ...own } = chosen["linear-sweep"];
    const { source } = rest;
    const kind = augmented ? ", augmented images" : "";
    return {
      ...classified(linearSweep, "linear-sweep", `linear sweep (${own.preset ?? "lgp"}${kind})`, question, {
        ...own,
        seed,
      }),
      needs: augmented ? "encoder" : "features",
      async run(subject, { onProgress } = {}) {
        const options = { ...own, seed, threads, onProgress };
        if (augmented)
          return augmentedLinearSweep({ encoder: subject.encoder!, source, splits: question.rows }, options);
        return (await linearSweep.run(splitsOf(question, await subject.features()), options))[0]!;
      },
    };
  };
  const tune = (question: Question): Task => {
    const { labels, ...own } = chosen["fine-tune"];
    const { source } = rest;
    const few = labels === undefined ? "" : `, ${describeChoice(labels)}`;
    return {
      protocol: "fine-tune",
      label: `fine-tuning (${own.preset ?? "full"}${few}), ${question.what}`,
      chance: chanceOf(question),
      question,
      needs: "encoder",
      settings: { seed, limit, labels, ...own },
      async run({ encoder }, { onProgress } = {}) {
        const { classes, labels: all, rows } = question;
        const train = labels === undefined ? rows.train : await labelledRows(labels, question, source, seed);
        return fineTune(
          encoder!,
          { source, classes, labels: all, rows: { ...rows, train } },
          { ...own, seed, threads, onProgress },
        );
      },
    };
  };
  const tasks = [
    ...all.map((question) => classified(knn, "knn", "k-NN", question, chosen.knn)),
    ...all.map((question) => classified(linear, "linear", "linear probe", question, chosen.linear)),
    ...all.slice(0, 1).flatMap((question) => chosen["few-shot"].shots.map((shot) => few(shot, question))),
    ...all.map(leftOut),
    ...questions
      .filter(({ only }) => only === "knn")
      .map((question) => classified(knn, "knn", "k-NN", question, chosen.knn)),
    ...pairings.map(retrieved),
    ...all.slice(0, 1).flatMap((question) => [sweep(question), tune(question)]),
  ];
  return { ...rest, tasks };
}

const isDrawn = (shot: LabelChoice): shot is Shots => typeof shot === "number" || /^\d+(\.\d+)?%$/.test(shot);

function describeChoice(shot: LabelChoice): string {
  return describeShots(isDrawn(shot) ? shot : { file: shot, rows: [] });
}

/** The training rows that a split file names. */
async function listedRows(file: string, { classes, labels, rows: { train } }: Question, source: Source) {
  const ids = train.map((row) => source.id(row));
  const places = await rowsOfSplitFile(file, { ids, labels: train.map((row) => labels[row]!), classes });
  return places.map((place) => train[place]!);
}

/** Training rows of the question whose labels may be used; of several draws the first. */
async function labelledRows(shot: LabelChoice, question: Question, source: Source, seed: number): Promise<number[]> {
  const { labels, rows } = question;
  if (!isDrawn(shot)) return listedRows(shot, question, source);
  const ofTrain = rows.train.map((row) => labels[row]!);
  return drawLabels(ofTrain, shot, { seed, draw: 0 }).map((place) => rows.train[place]!);
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
