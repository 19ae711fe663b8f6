/** The questions that a data set lets one ask of an encoder, as rows of one source. */
import type { Question, Questions } from "../data/question.ts";
import type { Source } from "../data/source.ts";
import { defineSource, kindOf, openSource, type SourceInput } from "../data/sources/open.ts";
import { stratifiedSample, subset } from "../data/sources/subset.ts";
import { divide, splitNotes, unusableSplits } from "../evaluators/divide.ts";
import { type Features, type LabelledFeatures, mostFrequent, pick, type Splits } from "../evaluators/evaluator.ts";

export interface QuestionOptions {
  readonly seed?: number;
  /** Use at most so many of the images, the same share of every class and split. Not for a source with questions of its own. */
  readonly limit?: number;
}

/** Of a source in splits all are used, whichever the input names. */
export async function questionsOf(input: SourceInput, options: QuestionOptions = {}): Promise<Questions> {
  const spec = defineSource(input);
  const { questions } = kindOf(spec);
  if (questions !== undefined) {
    if (options.limit !== undefined)
      throw new Error(`an evaluation on ${spec.kind} uses all of them; leave out the limit`);
    return questions(spec);
  }
  return ofClasses(await openSource(inAllSplits(spec)), options);
}

/** The same images and those of the other splits. */
export function inAllSplits(input: SourceInput): SourceInput {
  const spec = defineSource(input);
  return kindOf(spec).splits?.all(spec) ?? spec;
}

/** Any source with classes, divided as it says itself, or by the seed. */
function ofClasses(whole: Source, { seed = 0, limit }: QuestionOptions): Questions {
  const none = (reason: string): Questions => ({ source: whole, questions: [], pairings: [], reason, shown: whole });
  const { classes } = whole;
  if (classes.length < 2)
    return none(
      "these images have no classes, so there is nothing to measure; give a folder with a subfolder per class",
    );
  const unusable = unusableSplits(whole);
  const notes = splitNotes(whole);
  const because = notes.map((note) => `; ${note}`).join("");
  const source = stratifiedSample(whole, limit, seed);
  const all = Int32Array.from({ length: source.length }, (_, i) => source.label(i));
  const rows = divide(source, all, seed, unusable);
  const known = new Set(Object.values(rows).flatMap((part) => part.map((row) => all[row]!)));
  if (known.size < 2) return none(`the training images are of less than two classes${because}`);
  if (rows.validation.length === 0 || rows.test.length === 0)
    return none(
      `${source.length} images of ${classes.length} classes are too few to hold some back for validation and test${because}`,
    );
  if (rows.validation === rows.train)
    notes.push("there are too few training images to hold some back: choices are made on those that teach");
  // a class that only an unusable split has is not asked for
  const kept = classes.flatMap((_, label) => (known.has(label) ? label : []));
  const numbers = new Map(kept.map((label, i) => [label, i]));
  const question = {
    what: `${kept.length} classes`,
    classes: kept.map((label) => classes[label]!),
    labels: all.map((label) => numbers.get(label) ?? -1),
    rows,
  };
  return { source, questions: [question], pairings: [], notes, shown: subset(source, rows.test) };
}

/**
 * The question without the images that could not be read, and without classes that then have none to learn from. Throws when
 * a split has none left.
 */
export function readable(question: Question, { unreadable = [] }: Features): Question {
  if (unreadable.length === 0) return question;
  const bad = new Set(unreadable.map(({ index }) => index));
  const left = (part: string, rows: readonly number[]) => {
    const good = rows.filter((row) => !bad.has(row));
    if (good.length === 0) throw new Error(`none of the ${rows.length} images of the ${part} split can be read`);
    return good;
  };
  const { labels } = question;
  const { train, validation, test } = question.rows;
  const readableTrain = left("training", train);
  const taught = new Set(readableTrain.map((row) => labels[row]!));
  const known = (rows: readonly number[]) => rows.filter((row) => taught.has(labels[row]!));
  const rows = {
    train: readableTrain,
    validation: known(left("validation", validation)),
    test: known(left("test", test)),
  };
  return { ...question, rows };
}

/** The classes that `readable` leaves out, a sentence each. */
export function unreadableClasses(question: Question, features: Features): string[] {
  const { labels, classes } = question;
  const taught = new Set(readable(question, features).rows.train.map((row) => labels[row]!));
  const lost = new Map<number, number>();
  for (const row of question.rows.train) {
    const label = labels[row]!;
    if (!taught.has(label)) lost.set(label, (lost.get(label) ?? 0) + 1);
  }
  return [...lost].map(
    ([label, count]) =>
      `the class ${classes[label]} is left out: none of its ${count} images to learn from can be read`,
  );
}

/** Features in the splits of a question: rows as `readable` leaves them. */
export function splitsOf(question: Question, features: Features): Splits {
  const all: LabelledFeatures = { features, labels: question.labels };
  const { train, validation, test } = readable(question, features).rows;
  return {
    classes: question.classes.length,
    train: pick(all, train),
    validation: pick(all, validation),
    test: pick(all, test),
  };
}

/** What guessing the most frequent class would reach. */
export function chanceOf({ labels, rows: { test } }: Question): number {
  return mostFrequent(test.map((row) => labels[row]!));
}
