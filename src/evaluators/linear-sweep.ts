/**
 * Linear probing by stochastic gradient descent: heads with many learning rates and weight decays, trained together, of
 * which validation chooses one. The recipes are those of layer-grafted pre-training, MAE and MoCo v3.
 */
import { fold, key, Random } from "../tensor/random.ts";
import { normal } from "../nn/init.ts";
import { scaleByBatch } from "../optim/schedules.ts";
import { evaluationBatches } from "../data/batches/evaluation.ts";
import type { Source, Split } from "../data/source.ts";
import { subset } from "../data/sources/subset.ts";
import { type AugmentView, type CenterView, maeView } from "../data/augmentation/views.ts";
import type { Encoder } from "./encoder.ts";
import {
  accuracy,
  type Evaluator,
  type EvaluatorOptions,
  type LabelledFeatures,
  pick,
  type Score,
  type Splits,
} from "./evaluator.ts";
import { rateFactor, recipeOf, type SweepRecipe, type SweepSettings } from "./sweep-recipe.ts";
import { createHeadGrid, type HeadRates } from "./head-grid.ts";
import { classify, type LinearClassifier } from "./logistic.ts";

/** Whatever is not set is the preset's. */
export interface SweepOptions extends EvaluatorOptions, SweepSettings {
  /** For first weights, order of the images, and augmentation (default 0). */
  readonly seed?: number;
  /** Called after each epoch. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface SweepScore extends Score {
  readonly validation: number;
  readonly predictions: Int32Array;
  /** The head that did best on validation, and after how many epochs. */
  readonly chosen: HeadRates & { readonly epoch: number };
  /** The same for people. */
  readonly detail: string;
}

/** Linear heads on frozen features, the same in every epoch. */
export const linearSweep = {
  name: "linear-sweep",
  async run({ classes, train, validation, test }: Splits, options: SweepOptions = {}): Promise<SweepScore[]> {
    const choice = await choose({ classes, training: async () => train, validation: async () => validation }, options);
    return [scoreOf(choice, test)];
  },
} satisfies Evaluator<SweepOptions>;

export interface SweepImages {
  readonly encoder: Pick<Encoder, "model" | "view" | "features" | "encode">;
  /** With classes. */
  readonly source: Source;
  /** Rows of the source. */
  readonly splits: Readonly<Record<Split, readonly number[]>>;
  /** How training images are augmented (default `probeView`); validation and test have the encoder's own view. */
  readonly view?: AugmentView;
}

/**
 * The same on augmented images, as the papers do: every epoch encodes the training images under new crops and flips.
 * Images that cannot be read are left out, of the predictions too.
 */
export async function augmentedLinearSweep(
  { encoder, source, splits, view = probeView(encoder.view) }: SweepImages,
  options: SweepOptions = {},
): Promise<SweepScore> {
  const examples = async (rows: readonly number[]): Promise<LabelledFeatures> => {
    const features = await encoder.features(subset(source, rows));
    const bad = new Set(features.unreadable?.map(({ index }) => index));
    const labels = Int32Array.from(rows, (row) => source.label(row));
    return pick(
      { features, labels },
      [...rows.keys()].filter((i) => !bad.has(i)),
    );
  };
  const training = async (epoch: number): Promise<LabelledFeatures> => {
    const { width } = encoder.model;
    const rows = new Float32Array(splits.train.length * width);
    const labels: number[] = [];
    const order = { indices: splits.train, seed: options.seed, epoch, onUnreadable: () => undefined };
    for await (const { images, indices } of evaluationBatches(source, view, imagesAtOnce, order)) {
      const { data } = await encoder.encode(images);
      rows.set(data.subarray(0, indices.length * width), labels.length * width);
      labels.push(...Array.from(indices, (index) => source.label(index)));
    }
    const count = labels.length;
    return { features: { rows: rows.subarray(0, count * width), count, width }, labels: Int32Array.from(labels) };
  };
  const validation = () => examples(splits.validation);
  const choice = await choose({ classes: source.classes.length, training, validation }, options);
  return scoreOf(choice, await examples(splits.test));
}

/** As an encoder takes by default. */
const imagesAtOnce = 64;

/** The augmentation of linear probing in all three papers: crops of 8 to 100 % of the area, and flips. */
export function probeView({ size, interpolation, mean, std }: CenterView): AugmentView {
  return maeView(size, { scale: [0.08, 1], interpolation, mean, std });
}

interface Task {
  readonly classes: number;
  /** What heads are trained on in an epoch, counted from 0. */
  training(epoch: number): Promise<LabelledFeatures>;
  validation(): Promise<LabelledFeatures>;
}

interface Choice extends Pick<SweepScore, "validation" | "chosen" | "warning"> {
  readonly classifier: LinearClassifier;
}

/** Trains all heads; the best one at its best epoch on validation. Throws when none of them stays finite. */
async function choose({ classes, ...task }: Task, options: SweepOptions): Promise<Choice> {
  const { seed = 0, threads, device, onProgress } = options;
  const recipe = recipeOf(options);
  const { epochs, optimizer, momentum, batchNorm } = recipe;
  const first = await task.training(0);
  const validation = await task.validation();
  const { count, width } = first.features;
  if (count === 0 || validation.features.count === 0)
    throw new Error(
      `the linear sweep learns on training images and chooses on validation images, but there are ${count} and ${validation.features.count}`,
    );
  const batch = Math.min(recipe.batch, count);
  const heads = recipe.learningRates.flatMap((learningRate) =>
    recipe.weightDecays.map((weightDecay) => ({ learningRate, weightDecay })),
  );
  const root = fold(key(seed), "linear sweep");
  const grid = await createHeadGrid({
    heads: heads.map((head) => ({ ...head, learningRate: scaleByBatch(head.learningRate, batch) })),
    classes,
    width,
    batch,
    optimizer,
    momentum,
    batchNorm,
    threads,
    device,
    // One draw for all heads, unlike the paper's code, so that nothing but rate and decay tells them apart. MAE's
    // truncated normal is cut off at ±2, which is 200 deviations: the same.
    weight: normal(0.01)([classes, width], fold(root, "weight")),
  });

  const best = new Map<number, Candidate>();
  for (let epoch = 0; epoch < epochs; epoch++) {
    const examples = epoch === 0 ? first : await task.training(epoch);
    const order = new Random(fold(root, "order", epoch)).permutation(examples.features.count);
    const steps = Math.floor(order.length / batch);
    for (let step = 0; step < steps; step++) {
      const rows = order.subarray(step * batch, (step + 1) * batch);
      await grid.step(pick(examples, rows), rateFactor(recipe, epoch, step / steps));
    }
    for (const [i, found] of (await grid.accuracies(validation)).entries())
      if (Number.isNaN(found)) best.delete(i);
      else if (found > (best.get(i)?.accuracy ?? -1))
        best.set(i, { ...heads[i]!, accuracy: found, epoch: epoch + 1, classifier: await grid.classifier(i) });
    onProgress?.(epoch + 1, epochs);
  }
  await grid.release();
  const choice = bestOf([...best.values()], recipe);
  if (options.learningRates !== undefined || recipe.learningRates.length > 1 || count >= manyImages) return choice;
  const warning =
    `the learning rate of ${options.preset}, ${choice.chosen.learningRate}, was chosen for ImageNet, not for ${count} images; ` +
    "give several learningRates to choose from";
  return { ...choice, warning };
}

/** With fewer, the rates of MAE and MoCo v3 move heads too little: what they sum up to grows with the images of an epoch. */
const manyImages = 100_000;

interface Candidate extends HeadRates {
  readonly accuracy: number;
  readonly epoch: number;
  readonly classifier: LinearClassifier;
}

/** The candidate with the highest accuracy, of several the one trained shortest. */
function bestOf(candidates: readonly Candidate[], { learningRates, weightDecays }: SweepRecipe): Choice {
  const [lowest, highest] = [Math.min(...learningRates), Math.max(...learningRates)];
  if (candidates.length === 0)
    throw new Error(
      `the outputs of all ${learningRates.length * weightDecays.length} heads of the linear sweep became infinite or not a number ` +
        `at learning rates from ${lowest} to ${highest}; choose lower ones, and check that the features are finite`,
    );
  const validation = Math.max(...candidates.map((each) => each.accuracy));
  const winners = candidates.filter((each) => each.accuracy === validation).sort((a, b) => a.epoch - b.epoch);
  const { learningRate, weightDecay, epoch, classifier } = winners[0]!;
  const atEdge = (edge: number) => lowest < highest && winners.every((each) => each.learningRate === edge);
  const warn = (edge: string, where: string) => ({
    warning: `the best learning rate of the linear sweep, ${learningRate}, is the ${edge} one tried; a ${where} one may do better`,
  });
  return {
    validation,
    chosen: { learningRate, weightDecay, epoch },
    classifier,
    ...(atEdge(lowest) ? warn("lowest", "lower") : atEdge(highest) ? warn("highest", "higher") : {}),
  };
}

function scoreOf({ classifier, ...choice }: Choice, { features, labels }: LabelledFeatures): SweepScore {
  const predictions = classify(features, classifier);
  const { learningRate, weightDecay, epoch } = choice.chosen;
  const detail = `learning rate ${learningRate}, weight decay ${weightDecay}, epoch ${epoch}`;
  return { name: linearSweep.name, value: accuracy(predictions, labels), predictions, detail, ...choice };
}
