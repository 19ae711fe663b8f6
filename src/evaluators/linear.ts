import { accuracy, type Evaluator, type EvaluatorOptions, type Features, type Splits } from "./evaluator.ts";
import { classify, fitLogistic, type LinearClassifier } from "./logistic.ts";

export interface LinearOptions extends EvaluatorOptions {
  /** Candidates for the penalty, strong to weak; the validation split decides. */
  readonly lambdas?: readonly number[];
}

/** Linear probe: logistic regression on frozen, standardised features. */
export const linear: Evaluator<LinearOptions> = {
  name: "linear",
  async run(splits, options) {
    const { validation, ...classifier } = await fitLinear(splits, options);
    const { features, labels } = splits.test;
    const predictions = classify(features, classifier);
    return [{ name: "linear", value: accuracy(predictions, labels), validation, predictions }];
  },
};

/** The probe's classifier of features as they are, and its accuracy on the validation split, which chose the penalty. */
export async function fitLinear(
  { classes, train, validation }: Omit<Splits, "test">,
  { lambdas = [1e-1, 1e-2, 1e-3, 1e-4], threads }: LinearOptions = {},
): Promise<LinearClassifier & { readonly validation: number }> {
  const { mean, factor } = scaleOf(train.features);
  const fit = { ...train, features: standardizer(train.features)(train.features) };
  const solutions = await fitLogistic(fit, lambdas, { classes, threads });
  const candidates = solutions.map((each) => {
    // W ((x - mean) · factor) + b = (W · factor) x + (b - (W · factor) mean)
    const weight = each.weight.map((w, i) => w * factor[i % factor.length]!);
    const bias = each.bias.slice();
    for (const [i, w] of weight.entries()) bias[Math.floor(i / mean.length)]! -= w * mean[i % mean.length]!;
    return { weight, bias };
  });
  const scores = candidates.map((each) => accuracy(classify(validation.features, each), validation.labels));
  const highest = Math.max(...scores);
  return { ...candidates[scores.indexOf(highest)]!, validation: highest };
}

/** Subtracts the mean and divides by the standard deviation that each column has over `reference`. */
export function standardizer(reference: Features): (features: Features) => Features {
  const { mean, factor } = scaleOf(reference);
  const width = mean.length;
  return (features) => ({
    ...features,
    rows: features.rows.map((x, i) => (x - mean[i % width]!) * factor[i % width]!),
  });
}

/** Mean and inverse standard deviation of each column. */
function scaleOf({ rows, count, width }: Features): { mean: Float64Array; factor: Float64Array } {
  const mean = new Float64Array(width);
  const deviation = new Float64Array(width);
  for (let i = 0; i < rows.length; i++) mean[i % width]! += rows[i]! / count;
  for (let i = 0; i < rows.length; i++) deviation[i % width]! += (rows[i]! - mean[i % width]!) ** 2 / count;
  return { mean, factor: deviation.map((variance) => 1 / Math.sqrt(variance + 1e-6)) }; // a constant column becomes zero
}
