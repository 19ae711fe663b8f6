import { fold, key, Random } from "../tensor/random.ts";
import { accuracy, type Evaluator, type EvaluatorOptions, pick, type LabelledFeatures } from "./evaluator.ts";
import { standardizer } from "./linear.ts";
import { classify, fitLogistic } from "./logistic.ts";

/** How many images of each class are labelled: a number, or a share of those there are, of which at least one. */
export type Shots = number | `${number}%`;

export interface FewShotOptions extends EvaluatorOptions {
  readonly shots?: readonly Shots[];
  /** Random choices of the labelled images; results are their mean and standard deviation. */
  readonly draws?: number;
  readonly seed?: number;
  /** Penalty of the logistic regression; not chosen, since few labels leave nothing to choose on. */
  readonly lambda?: number;
}

/** Accuracy when only a few images of each class are labelled: logistic regression on frozen features. */
export const fewShot: Evaluator<FewShotOptions> = {
  name: "few-shot",
  async run({ classes, train, test }, { shots = [1, 5], draws = 5, seed = 0, lambda = 1e-2, threads } = {}) {
    const scale = standardizer(train.features); // uses images, not labels
    const all = { ...train, features: scale(train.features) };
    const queries = scale(test.features);
    const scores = [];
    for (const shot of shots) {
      const values: number[] = [];
      let labels = 0;
      for (let draw = 0; draw < draws; draw++) {
        const chosen = choose(all, classes, shot, new Random(fold(key(seed), "few-shot", shot, draw)));
        const [classifier] = await fitLogistic(pick(all, chosen), [lambda], { classes, threads });
        labels = chosen.length / classes;
        values.push(accuracy(classify(queries, classifier!), test.labels));
      }
      const value = values.reduce((a, b) => a + b) / draws;
      const deviation = Math.sqrt(values.reduce((sum, each) => sum + (each - value) ** 2, 0) / Math.max(1, draws - 1));
      scores.push({ name: describeShots(shot), value, deviation, labels });
    }
    return scores;
  },
};

/** `5 labels per class` or `10 % of labels`. */
export function describeShots(shots: Shots): string {
  if (typeof shots === "number") return `${shots} ${shots === 1 ? "label" : "labels"} per class`;
  return `${shots.replace("%", " %")} of labels`;
}

/** Random rows of each class: as many as `shots` says, or all there are. */
function choose({ labels }: LabelledFeatures, classes: number, shots: Shots, random: Random): number[] {
  const left = new Int32Array(classes);
  if (typeof shots === "number") left.fill(shots);
  else {
    const share = Number.parseFloat(shots) / 100;
    for (const label of labels) left[label]!++;
    for (const [label, count] of left.entries()) left[label] = Math.max(1, Math.round(share * count));
  }
  return [...random.permutation(labels.length)].filter((row) => left[labels[row]!]!-- > 0).sort((a, b) => a - b);
}
