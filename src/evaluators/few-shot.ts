import { basename } from "node:path";
import { fold, key, Random } from "../tensor/random.ts";
import { accuracy, type Evaluator, type EvaluatorOptions, type Features, pick, type Score } from "./evaluator.ts";
import { standardizer } from "./linear.ts";
import { classify, fitLogistic, type LogisticOptions } from "./logistic.ts";
import { unitRows } from "./neighbours.ts";

/** How many images of each class are labelled: a number, or a share of those there are, of which at least one. */
export type Shots = number | `${number}%`;

/** The labelled images are those that a split file names (`rowsOfSplitFile`): one choice, no draws. */
export interface ListedShots {
  readonly file: string;
  /** Rows of the train split. */
  readonly rows: ArrayLike<number>;
}

export interface FewShotOptions extends EvaluatorOptions {
  readonly shots?: readonly (Shots | ListedShots)[];
  /** Random choices of the labelled images; results are their mean and standard deviation. */
  readonly draws?: number;
  readonly seed?: number;
  /**
   * `paper` (default): the protocol of Layer Grafted Pre-training, which is MSN's. Each row minus its own mean, divided
   * by its length; no intercept; solved to a relative duality gap of 0.001. `standardized`: columns of mean 0 and
   * deviation 1 over all training images, an intercept.
   */
  readonly preparation?: "paper" | "standardized";
  /**
   * Penalty of the logistic regression; not chosen, since few labels leave nothing to choose on. Default: 0.00025
   * divided by the number of labelled images, or 0.01 with `standardized`.
   */
  readonly lambda?: number;
}

/** Accuracy when only a few images of each class are labelled: logistic regression on frozen features. */
export const fewShot: Evaluator<FewShotOptions> = {
  name: "few-shot",
  async run({ classes, train, test }, options = {}) {
    const { shots = [1, 5], draws = 5, seed = 0, preparation = "paper", lambda, threads } = options;
    const { prepare, penalty, ...solver } = preparations[preparation];
    const scale = prepare(train.features); // uses images, not labels
    const all = { ...train, features: scale(train.features) };
    const queries = scale(test.features);
    const scores: Score[] = [];
    for (const shot of shots) {
      const choices =
        typeof shot === "object"
          ? [shot.rows]
          : Array.from({ length: draws }, (_, draw) => drawLabels(train.labels, shot, { seed, draw }));
      const values: number[] = [];
      let unsolved = 0;
      for (const rows of choices) {
        const weight = lambda ?? penalty(rows.length);
        const [solution] = await fitLogistic(pick(all, rows), [weight], { classes, threads, ...solver });
        if (!solution!.converged) unsolved++;
        values.push(accuracy(classify(queries, solution!), test.labels));
      }
      const value = values.reduce((a, b) => a + b) / values.length;
      const squares = values.reduce((sum, each) => sum + (each - value) ** 2, 0);
      scores.push({
        name: describeShots(shot),
        value,
        ...(typeof shot === "object" ? {} : { deviation: Math.sqrt(squares / Math.max(1, draws - 1)) }),
        labels:
          typeof shot === "number"
            ? shot
            : choices.reduce((sum, { length }) => sum + length, 0) / choices.length / classes,
        ...(unsolved === 0 ? {} : { warning: describeUnsolved(unsolved, choices.length, solver) }),
      });
    }
    return scores;
  },
};

interface Preparation extends Omit<LogisticOptions, "classes"> {
  prepare(reference: Features): (features: Features) => Features;
  penalty(labelled: number): number;
}

const preparations: Readonly<Record<"paper" | "standardized", Preparation>> = {
  paper: {
    prepare: () => centredUnitRows,
    penalty: (labelled) => 0.00025 / labelled,
    intercept: false,
    stop: { gap: 1e-3 },
    maxIterations: 1000,
  },
  standardized: { prepare: standardizer, penalty: () => 1e-2 },
};

/** Each row minus the mean of its own numbers, then of length 1. */
export function centredUnitRows({ rows, count, width }: Features): Features {
  const centred = Float32Array.from(rows);
  for (let i = 0; i < count; i++) {
    const row = centred.subarray(i * width, (i + 1) * width);
    const mean = row.reduce((sum, x) => sum + x, 0) / width;
    for (let j = 0; j < width; j++) row[j]! -= mean;
  }
  return { rows: unitRows({ rows: centred, count, width }), count, width };
}

/** `5 labels per class`, `10 % of labels` or `labels of 1percent.txt`. */
export function describeShots(shots: Shots | ListedShots): string {
  if (typeof shots === "object") return `labels of ${basename(shots.file)}`;
  if (typeof shots === "number") return `${shots} ${shots === 1 ? "label" : "labels"} per class`;
  return `${shots.replace("%", " %")} of labels`;
}

function describeUnsolved(unsolved: number, fits: number, { stop }: Pick<LogisticOptions, "stop">): string {
  const aim = stop !== undefined && "gap" in stop ? `a relative duality gap of ${stop.gap}` : "a small gradient";
  return `${unsolved} of ${fits} classifiers stopped before they reached ${aim}`;
}

/** Random rows of each class, in ascending order: as many as `shots` says, or all there are. Same seed and draw, same rows. */
export function drawLabels(labels: ArrayLike<number>, shots: Shots, { seed, draw }: { seed: number; draw: number }) {
  const left = new Map<number, number>();
  const share = typeof shots === "number" ? undefined : Number.parseFloat(shots) / 100;
  for (let row = 0; row < labels.length; row++) left.set(labels[row]!, (left.get(labels[row]!) ?? 0) + 1);
  for (const [label, count] of left)
    left.set(label, share === undefined ? (shots as number) : Math.max(1, Math.round(share * count)));
  const order = new Random(fold(key(seed), "few-shot", shots, draw)).permutation(labels.length);
  const chosen: number[] = [];
  for (const row of order) {
    const more = left.get(labels[row]!)!;
    if (more > 0) chosen.push(row);
    left.set(labels[row]!, more - 1);
  }
  return chosen.sort((a, b) => a - b);
}
