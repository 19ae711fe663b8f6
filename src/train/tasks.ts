/** The questions that a data set lets one ask of an encoder. */
import { type EmojiSource, openEmoji } from "../data/emoji/source.ts";
import { styles } from "../data/emoji/installed.ts";
import { defineSource, openSource, type Source, type SourceInput, type SourceSpec } from "../data/source.ts";
import { stratifiedSample, subset } from "../data/subset.ts";
import {
  type Evaluator,
  type EvaluatorOptions,
  type Features,
  type LabelledFeatures,
  pick,
  type Score,
  type Splits,
} from "../evaluators/evaluator.ts";
import { divide, untaught } from "../evaluators/divide.ts";
import { describeShots, fewShot, type Shots } from "../evaluators/few-shot.ts";
import { knn } from "../evaluators/knn.ts";
import { linear } from "../evaluators/linear.ts";
import { retrieval } from "../evaluators/retrieval.ts";

/** Features of one of the sources below. */
export type FeaturesOf = (source: string) => Features;

/** One row of the result table. */
export interface Task {
  readonly protocol: string;
  readonly label: string;
  /** What guessing the most frequent class, or any image, would reach. */
  readonly chance?: number;
  run(features: FeaturesOf): Promise<Score>;
}

export interface TaskList {
  /** What features are needed of. The first one, `train`, may be used to centre them. */
  readonly sources: Readonly<Record<string, Source>>;
  readonly tasks: readonly Task[];
  /** Why there are no tasks, when there are none. */
  readonly reason?: string;
  /** Images to show in pictures: nobody trained on them where the data set allows it. */
  readonly shown: Source;
}

export const protocols = ["knn", "linear", "few-shot", "retrieval"] as const;
export type Protocol = (typeof protocols)[number];

export interface TaskOptions extends EvaluatorOptions {
  /** One few-label row each (default: 1 and 5 labels per class). */
  readonly shots?: readonly Shots[];
  readonly draws?: number;
  readonly seed?: number;
  /** Use at most so many of the images, the same share of every class and split. Not for emoji, which are few. */
  readonly limit?: number;
}

/** Tasks for a source; none when it has no classes. Of a source in splits all are used, whichever the input names. */
export async function tasksOf(input: SourceInput, options: TaskOptions = {}): Promise<TaskList> {
  const spec = defineSource(input);
  if (spec.kind === "emoji") return emojiTasks(spec, options);
  const whole: SourceInput =
    spec.kind === "cifar" ? { ...spec, split: "all" } : spec.kind === "folder" ? { ...spec, split: undefined } : spec;
  return labelledTasks(await openSource(whole), options);
}

/** Emoji: concepts are split, so that every test drawing is of a concept nobody trained on. */
async function emojiTasks(spec: SourceSpec & { kind: "emoji" }, options: TaskOptions): Promise<TaskList> {
  if (options.limit !== undefined) throw new Error("an evaluation on emoji uses all of them; leave out the limit");
  const { threads } = options;
  const open = (split: "train" | "validation" | "test", chosen = spec.styles) =>
    openEmoji({ ...spec, split, styles: chosen, label: "subgroup" });
  const [train, validation, test] = await Promise.all([open("train"), open("validation"), open("test")]);
  const unseen = styles.filter((style) => !spec.styles.includes(style));
  const heldOut = unseen.length > 0 ? await open("test", unseen) : undefined;
  const parts = { train, validation, test, ...(heldOut === undefined ? {} : { heldOut }) };

  const labelled = (features: FeaturesOf, part: keyof typeof parts, by: "subgroup" | "group") => ({
    features: features(part),
    labels: Int32Array.from(parts[part]!.drawings, (drawing) => drawing[by]),
  });
  const splits = (features: FeaturesOf, by: "subgroup" | "group", part: keyof typeof parts): Splits => ({
    classes: by === "subgroup" ? train.subgroups.length : train.groups.length,
    train: labelled(features, "train", by),
    validation: labelled(features, "validation", by),
    test: labelled(features, part, by),
  });
  const classified = (evaluator: Evaluator, label: string, by: "subgroup" | "group", part: keyof typeof parts) => ({
    protocol: evaluator.name,
    label,
    chance: mostFrequent(Array.from(parts[part]!.drawings, (drawing) => drawing[by])),
    run: async (features: FeaturesOf) => (await evaluator.run(splits(features, by, part), { threads }))[0]!,
  });
  const counts = `${train.subgroups.length} subgroups`;
  const tasks: Task[] = [
    classified(knn, `k-NN, ${counts}`, "subgroup", "test"),
    classified(knn, `k-NN, ${train.groups.length} groups`, "group", "test"),
    classified(linear, `linear probe, ${counts}`, "subgroup", "test"),
    classified(linear, `linear probe, ${train.groups.length} groups`, "group", "test"),
    ...fewLabels((features) => splits(features, "subgroup", "test"), train.subgroups.length, "subgroups", options),
  ];
  if (heldOut !== undefined)
    tasks.push(classified(knn, `k-NN, ${counts}, a style never seen (${unseen.join(", ")})`, "subgroup", "heldOut"));
  for (const [from, to] of [["noto", "twemoji"] as const, ["openmoji", "twemoji"] as const])
    if (spec.styles.includes(from) && spec.styles.includes(to))
      tasks.push({
        protocol: "retrieval",
        label: `same concept in another style, ${from} → ${to}`,
        chance: 1 / test.drawings.filter(({ style }) => style === to).length,
        run: (features) =>
          retrieval(ofStyle(test, features("test"), from), ofStyle(test, features("test"), to), { threads }),
      });
  return { sources: parts, tasks, shown: test };
}

/** Any source with classes, divided as it says itself, or by the seed. */
function labelledTasks(whole: Source, options: TaskOptions): TaskList {
  const { seed = 0, threads, limit } = options;
  const none = (reason: string): TaskList => ({ sources: {}, tasks: [], reason, shown: whole });
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
  const { train, validation, test } = divide(source, labels, seed);
  if (validation.length === 0 || test.length === 0)
    return none(
      `${source.length} images of ${classes.length} classes are too few to hold some back for validation and test`,
    );

  const splits = (features: FeaturesOf): Splits => {
    const all: LabelledFeatures = { features: features("all"), labels };
    const bad = new Set(all.features.unreadable?.map(({ index }) => index));
    const readable = (part: string, rows: readonly number[]) => {
      const good = rows.filter((row) => !bad.has(row));
      if (good.length === 0) throw new Error(`none of the ${rows.length} images of the ${part} split can be read`);
      return pick(all, good);
    };
    return {
      classes: classes.length,
      train: readable("training", train),
      validation: readable("validation", validation),
      test: readable("test", test),
    };
  };
  const chance = mostFrequent(test.map((i) => labels[i]!));
  const classified = (evaluator: Evaluator, label: string) => ({
    protocol: evaluator.name,
    label: `${label}, ${classes.length} classes`,
    chance,
    run: async (features: FeaturesOf) => (await evaluator.run(splits(features), { threads }))[0]!,
  });
  const tasks = [
    classified(knn, "k-NN"),
    classified(linear, "linear probe"),
    ...fewLabels(splits, classes.length, "classes", options),
  ];
  return { sources: { all: source }, tasks, shown: subset(source, test) };
}

function fewLabels(
  splits: (features: FeaturesOf) => Splits,
  classes: number,
  what: string,
  { shots = [1, 5], draws = 5, seed = 0, threads }: TaskOptions,
): Task[] {
  return shots.map((shot) => ({
    protocol: fewShot.name,
    label: `${describeShots(shot)}, ${classes} ${what}`,
    chance: 1 / classes,
    run: async (features) => (await fewShot.run(splits(features), { shots: [shot], draws, seed, threads }))[0]!,
  }));
}

function ofStyle(source: EmojiSource, features: Features, style: string) {
  const rows = source.drawings.flatMap((drawing, i) => (drawing.style === style ? [i] : []));
  const identities = Int32Array.from(source.drawings, ({ concept }) => concept);
  const picked = pick({ features, labels: identities }, rows);
  return { features: picked.features, identities: picked.labels };
}

function mostFrequent(labels: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return Math.max(...counts.values()) / labels.length;
}
