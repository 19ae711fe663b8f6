import { accuracy, type Evaluator, type EvaluatorOptions, type Features, type LabelledFeatures } from "./evaluator.ts";
import { classify, fitLogistic } from "./logistic.ts";

export interface LinearOptions extends EvaluatorOptions {
  /** Candidates for the penalty, strong to weak; the validation split decides. */
  readonly lambdas?: readonly number[];
}

/** Linear probe: logistic regression on frozen, standardised features. */
export const linear: Evaluator<LinearOptions> = {
  name: "linear",
  async run({ classes, train, validation, test }, { lambdas = [1e-1, 1e-2, 1e-3, 1e-4], threads } = {}) {
    const scale = standardizer(train.features);
    const [fit, choose, final] = [train, validation, test].map((split) => ({
      ...split,
      features: scale(split.features),
    }));
    const candidates = await fitLogistic(fit as LabelledFeatures, lambdas, { classes, threads });
    const scores = candidates.map((each) => accuracy(classify(choose!.features, each), choose!.labels));
    const highest = Math.max(...scores);
    const best = candidates[scores.indexOf(highest)]!;
    const predictions = classify(final!.features, best);
    return [{ name: "linear", value: accuracy(predictions, final!.labels), validation: highest, predictions }];
  },
};

/** Subtracts the mean and divides by the standard deviation that each column has over `reference`. */
export function standardizer({ rows, count, width }: Features): (features: Features) => Features {
  const mean = new Float64Array(width);
  const deviation = new Float64Array(width);
  for (let i = 0; i < rows.length; i++) mean[i % width]! += rows[i]! / count;
  for (let i = 0; i < rows.length; i++) deviation[i % width]! += (rows[i]! - mean[i % width]!) ** 2 / count;
  const factor = deviation.map((variance) => 1 / Math.sqrt(variance + 1e-6)); // a constant column becomes zero
  return (features) => ({
    ...features,
    rows: features.rows.map((x, i) => (x - mean[i % width]!) * factor[i % width]!),
  });
}
