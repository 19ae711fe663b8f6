/** Which images are labelled, where not all are. */
import * as z from "zod";
import { rowsOfSplitFile } from "../data/formats/split-file.ts";
import type { Question } from "../data/question.ts";
import type { Source } from "../data/source.ts";
import { describeShots, drawLabels, type Shots } from "../evaluators/few-shot.ts";

/** So many of each class, a share of them (`10%`), or those that a split file names. */
export const labelChoice = z.union([z.int().min(1), z.string().min(1)]);
export type LabelChoice = z.infer<typeof labelChoice>;

/** Whether the labelled images are drawn, and not named by a split file. */
export const isDrawn = (choice: LabelChoice): choice is Shots =>
  typeof choice === "number" || /^\d+(\.\d+)?%$/.test(choice);

export function describeChoice(choice: LabelChoice): string {
  return describeShots(isDrawn(choice) ? choice : { file: choice, rows: [] });
}

/** The training rows that a split file names. */
export async function listedRows(file: string, { classes, labels, rows: { train } }: Question, source: Source) {
  const ids = train.map((row) => source.id(row));
  const places = await rowsOfSplitFile(file, { ids, labels: train.map((row) => labels[row]!), classes });
  return places.map((place) => train[place]!);
}

/** Training rows of the question whose labels may be used; of several draws the first. */
export async function labelledRows(
  choice: LabelChoice,
  question: Question,
  source: Source,
  seed: number,
): Promise<number[]> {
  const { labels, rows } = question;
  if (!isDrawn(choice)) return listedRows(choice, question, source);
  const ofTrain = rows.train.map((row) => labels[row]!);
  return drawLabels(ofTrain, choice, { seed, draw: 0 }).map((place) => rows.train[place]!);
}
