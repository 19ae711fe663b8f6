/** The questions that a data set lets one ask of an encoder, as rows of one source. */
import { openEmoji } from "../data/sources/emoji/source.ts";
import { styles } from "../data/sources/emoji/installed.ts";
import type { Source, Split } from "../data/source.ts";
import { defineSource, openSource, type SourceInput, type SourceSpec } from "../data/sources/open.ts";
import { stratifiedSample, subset } from "../data/sources/subset.ts";
import { divide, untaught } from "../evaluators/divide.ts";
import { type Features, type LabelledFeatures, mostFrequent, pick, type Splits } from "../evaluators/evaluator.ts";

/** Which class is this image of? */
export interface Question {
  /** `98 subgroups` */
  readonly what: string;
  readonly classes: readonly string[];
  /** Class of each image of the source, -1 for none. */
  readonly labels: Int32Array;
  /** The images that teach, that are chosen by, and that are tested. */
  readonly rows: Readonly<Record<Split, readonly number[]>>;
  /** `k-NN` alone is asked of images whose classes were taught by others than theirs. */
  readonly only?: "knn";
}

/** Is the image most like this one of the same thing? */
export interface Pairing {
  readonly what: string;
  /** What each image of the source shows. */
  readonly identities: Int32Array;
  readonly queries: readonly number[];
  readonly gallery: readonly number[];
}

export interface Questions {
  /** The images that all rows below count in. */
  readonly source: Source;
  readonly questions: readonly Question[];
  readonly pairings: readonly Pairing[];
  /** Why there are no questions, when there are none. */
  readonly reason?: string;
  /** Images to show in pictures: nobody trained on them where the data set allows it. */
  readonly shown: Source;
}

export interface QuestionOptions {
  readonly seed?: number;
  /** Use at most so many of the images, the same share of every class and split. Not for emoji, which are few. */
  readonly limit?: number;
}

/** Of a source in splits all are used, whichever the input names. */
export async function questionsOf(input: SourceInput, options: QuestionOptions = {}): Promise<Questions> {
  const spec = defineSource(input);
  if (spec.kind === "emoji") return ofEmoji(spec, options);
  return ofClasses(await openSource(inAllSplits(spec)), options);
}

/** The same images and those of the other splits. */
export function inAllSplits(input: SourceInput): SourceInput {
  const spec = defineSource(input);
  if (spec.kind === "cifar" || spec.kind === "emoji") return { ...spec, split: "all" };
  return "split" in spec ? { ...spec, split: undefined } : spec;
}

/** Emoji: concepts are split, so that every test drawing is of a concept nobody trained on. */
async function ofEmoji(spec: SourceSpec & { kind: "emoji" }, { limit }: QuestionOptions): Promise<Questions> {
  if (limit !== undefined) throw new Error("an evaluation on emoji uses all of them; leave out the limit");
  const whole = await openEmoji({ ...spec, split: "all", styles: [...styles], label: "subgroup" });
  const isSeen = (style: string) => spec.styles.some((each) => each === style);
  const used = whole.drawings.flatMap(({ style }, i) => (isSeen(style) || whole.split!(i) === "test" ? [i] : []));
  const source = subset(whole, used);
  const drawings = used.map((i) => whole.drawings[i]!);

  const where = (wanted: Split, ofStyle: (style: string) => boolean) =>
    drawings.flatMap(({ style }, i) => (source.split!(i) === wanted && ofStyle(style) ? [i] : []));
  const [train, validation, test] = (["train", "validation", "test"] as const).map((split) => where(split, isSeen)) as [
    number[],
    number[],
    number[],
  ];
  const question = (by: "subgroup" | "group"): Question => {
    const classes = by === "group" ? whole.groups : whole.subgroups;
    const labels = Int32Array.from(drawings, (drawing) => drawing[by]);
    return { what: `${classes.length} ${by}s`, classes, labels, rows: { train, validation, test } };
  };
  const questions = [question("subgroup"), question("group")];
  const unseen = styles.filter((style) => !isSeen(style));
  if (unseen.length > 0) {
    const [first] = questions as [Question];
    const rows = { train, validation, test: where("test", (style) => !isSeen(style)) };
    questions.push({ ...first, what: `${first.what}, a style never seen (${unseen.join(", ")})`, rows, only: "knn" });
  }
  const identities = Int32Array.from(drawings, ({ concept }) => concept);
  const pairings = [["noto", "twemoji"] as const, ["openmoji", "twemoji"] as const]
    .filter((pair) => pair.every(isSeen))
    .map(([from, to]) => ({
      what: `same concept in another style, ${from} → ${to}`,
      identities,
      queries: where("test", (style) => style === from),
      gallery: where("test", (style) => style === to),
    }));
  return { source, questions, pairings, shown: subset(source, test) };
}

/** Any source with classes, divided as it says itself, or by the seed. */
function ofClasses(whole: Source, { seed = 0, limit }: QuestionOptions): Questions {
  const none = (reason: string): Questions => ({ source: whole, questions: [], pairings: [], reason, shown: whole });
  const { classes } = whole;
  if (classes.length < 2)
    return none(
      "these images have no classes, so there is nothing to measure; give a folder with a subfolder per class",
    );
  const missing = untaught(whole);
  if (missing !== undefined)
    return none(
      `${whole.name} has images of the class ${classes[missing]}, but none in its train split: ` +
        "every class needs images to learn it from",
    );
  const source = stratifiedSample(whole, limit, seed);
  const labels = Int32Array.from({ length: source.length }, (_, i) => source.label(i));
  const rows = divide(source, labels, seed);
  if (rows.validation.length === 0 || rows.test.length === 0)
    return none(
      `${source.length} images of ${classes.length} classes are too few to hold some back for validation and test`,
    );
  const question = { what: `${classes.length} classes`, classes, labels, rows };
  return { source, questions: [question], pairings: [], shown: subset(source, rows.test) };
}

/** The question without the images that could not be read. Throws when a split has none left. */
export function readable(question: Question, { unreadable = [] }: Features): Question {
  if (unreadable.length === 0) return question;
  const bad = new Set(unreadable.map(({ index }) => index));
  const left = (part: string, rows: readonly number[]) => {
    const good = rows.filter((row) => !bad.has(row));
    if (good.length === 0) throw new Error(`none of the ${rows.length} images of the ${part} split can be read`);
    return good;
  };
  const { train, validation, test } = question.rows;
  const rows = {
    train: left("training", train),
    validation: left("validation", validation),
    test: left("test", test),
  };
  return { ...question, rows };
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
