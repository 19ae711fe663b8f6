import { fold, key, Random } from "../tensor/random.ts";
import { accuracy, type Evaluator, pick, type LabelledFeatures } from "./evaluator.ts";
import { standardizer } from "./linear.ts";
import { classify, fitLogistic } from "./logistic.ts";

export interface FewShotOptions {
  /** Labels per class. */
  readonly shots?: readonly number[];
  /** Random choices of the labelled images; results are their mean and standard deviation. */
  readonly draws?: number;
  readonly seed?: number;
  /** Penalty of the logistic regression; not chosen, since few labels leave nothing to choose on. */
  readonly lambda?: number;
}

/** Accuracy when only a few images of each class are labelled: logistic regression on frozen features. */
export const fewShot: Evaluator<FewShotOptions> = {
  name: "few-shot",
  async run({ classes, train, test }, { shots = [1, 5], draws = 5, seed = 0, lambda = 1e-2 } = {}) {
    const scale = standardizer(train.features); // uses images, not labels
    const all = { ...train, features: scale(train.features) };
    const queries = scale(test.features);
    const scores = [];
    for (const shot of shots) {
      const values: number[] = [];
      for (let draw = 0; draw < draws; draw++) {
        const chosen = choose(all, classes, shot, new Random(fold(key(seed), "few-shot", shot, draw)));
        const [classifier] = await fitLogistic(pick(all, chosen), [lambda], { classes });
        values.push(accuracy(classify(queries, classifier!), test.labels));
      }
      const value = values.reduce((a, b) => a + b) / draws;
      const deviation = Math.sqrt(values.reduce((sum, each) => sum + (each - value) ** 2, 0) / Math.max(1, draws - 1));
      scores.push({ name: `${shot} per class`, value, deviation });
    }
    return scores;
  },
};

/** Up to `shot` random rows of each class. */
function choose({ labels }: LabelledFeatures, classes: number, shot: number, random: Random): number[] {
  const left = new Int32Array(classes).fill(shot);
  return [...random.permutation(labels.length)].filter((row) => left[labels[row]!]!-- > 0).sort((a, b) => a - b);
}
