/** The questions that a data set lets one ask of an encoder. */
import { fold, key, Random } from "../tensor/random.ts";
import { type EmojiSource, openEmoji } from "../data/emoji/source.ts";
import { styles } from "../data/emoji/installed.ts";
import { openSource, type Source, type SourceSpec } from "../data/source.ts";
import { subset } from "../data/subset.ts";
import { type Evaluator, type Features, type LabelledFeatures, pick, type Score, type Splits } from "./evaluator.ts";
import { fewShot } from "./few-shot.ts";
import { knn } from "./knn.ts";
import { linear } from "./linear.ts";
import { retrieval } from "./retrieval.ts";

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

export interface TaskOptions {
  /** Labels per class of the few-label rows. */
  readonly shots?: readonly number[];
  readonly draws?: number;
  readonly seed?: number;
}

/** Tasks for a source; none when it has no classes. */
export async function tasksOf(spec: SourceSpec, options: TaskOptions = {}): Promise<TaskList> {
  return spec.kind === "emoji" ? emojiTasks(spec, options) : labelledTasks(await openSource(spec), options);
}

/** Emoji: concepts are split, so that every test drawing is of a concept nobody trained on. */
async function emojiTasks(spec: SourceSpec & { kind: "emoji" }, options: TaskOptions): Promise<TaskList> {
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
  const classified = (
    evaluator: Evaluator<never>,
    label: string,
    by: "subgroup" | "group",
    part: keyof typeof parts,
  ) => ({
    protocol: evaluator.name,
    label,
    chance: mostFrequent(Array.from(parts[part]!.drawings, (drawing) => drawing[by])),
    run: async (features: FeaturesOf) => (await evaluator.run(splits(features, by, part)))[0]!,
  });
  const counts = `${train.subgroups.length} subgroups`;
  const tasks: Task[] = [
    classified(knn, `k-NN, ${counts}`, "subgroup", "test"),
    classified(knn, `k-NN, ${train.groups.length} groups`, "group", "test"),
    classified(linear, `linear probe, ${counts}`, "subgroup", "test"),
    classified(linear, `linear probe, ${train.groups.length} groups`, "group", "test"),
    ...fewLabels((features) => splits(features, "subgroup", "test"), counts, 1 / train.subgroups.length, options),
  ];
  if (heldOut !== undefined)
    tasks.push(classified(knn, `k-NN, ${counts}, a style never seen (${unseen.join(", ")})`, "subgroup", "heldOut"));
  for (const [from, to] of [["noto", "twemoji"] as const, ["openmoji", "twemoji"] as const])
    if (spec.styles.includes(from) && spec.styles.includes(to))
      tasks.push({
        protocol: "retrieval",
        label: `same concept in another style, ${from} → ${to}`,
        chance: 1 / test.drawings.filter(({ style }) => style === to).length,
        run: (features) => retrieval(ofStyle(test, features("test"), from), ofStyle(test, features("test"), to)),
      });
  return { sources: parts, tasks, shown: test };
}

/** Any source with classes: 70 % of the images are labelled, 10 % choose, 20 % test. */
function labelledTasks(source: Source, options: TaskOptions): TaskList {
  const { classes, length } = source;
  const labels = Int32Array.from({ length }, (_, i) => source.label(i));
  const none = (reason: string): TaskList => ({ sources: {}, tasks: [], reason, shown: source });
  if (classes.length < 2)
    return none(
      "these images have no classes, so there is nothing to measure; give a folder with a subfolder per class",
    );
  const { train, validation, test } = splitByClass(labels, options.seed ?? 0);
  if (validation.length === 0 || test.length === 0)
    return none(`${length} images of ${classes.length} classes are too few to hold some back for validation and test`);

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
  const classified = (evaluator: Evaluator<never>, label: string) => ({
    protocol: evaluator.name,
    label: `${label}, ${classes.length} classes`,
    chance,
    run: async (features: FeaturesOf) => (await evaluator.run(splits(features)))[0]!,
  });
  const tasks = [
    classified(knn, "k-NN"),
    classified(linear, "linear probe"),
    ...fewLabels(splits, `${classes.length} classes`, 1 / classes.length, options),
  ];
  return { sources: { all: source }, tasks, shown: subset(source, test) };
}

/** Random parts with the same share of every class; a class of one image is for training. */
function splitByClass(labels: Int32Array, seed: number) {
  const parts = { train: [] as number[], validation: [] as number[], test: [] as number[] };
  const root = fold(key(seed), "evaluation split");
  const byClass = new Map<number, number[]>();
  for (const row of new Random(root).permutation(labels.length)) {
    const label = labels[row]!;
    byClass.set(label, byClass.get(label) ?? []);
    byClass.get(label)!.push(row);
  }
  for (const [label, rows] of byClass) {
    const offset = new Random(fold(root, label)).uniform(); // so that small classes are rounded up as often as down
    for (const [i, row] of rows.entries()) {
      const place = (i + offset) / rows.length;
      parts[i === 0 || place < 0.7 ? "train" : place < 0.8 ? "validation" : "test"].push(row);
    }
  }
  for (const rows of Object.values(parts)) rows.sort((a, b) => a - b);
  return parts;
}

function fewLabels(
  splits: (features: FeaturesOf) => Splits,
  what: string,
  chance: number,
  { shots = [1, 5], draws = 5, seed = 0 }: TaskOptions,
): Task[] {
  return shots.map((shot) => ({
    protocol: fewShot.name,
    label: `${shot} ${shot === 1 ? "label" : "labels"} per class, ${what}`,
    chance,
    run: async (features) => (await fewShot.run(splits(features), { shots: [shot], draws, seed }))[0]!,
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
