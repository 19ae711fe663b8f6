/**
 * End-to-end fine-tuning: the whole encoder learns a labelled task (layer-grafted pre-training's `main_finetune_mae.py`,
 * which follows MAE's). Unlike the released code, the epoch is chosen on images of its own and the last one counts too.
 */
import { fold, key, type Key, Random } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { openBackend } from "../backend/open.ts";
import { resizePositions } from "../nn/interpolate.ts";
import { patchCount, type VitConfig } from "../nn/vit.ts";
import { scaleByBatch, warmupCosine } from "../optim/schedules.ts";
import { mix, type MixOptions } from "../data/augmentation/mix.ts";
import { type AugmentView, type CenterView, fineTuneView, maeView, resized } from "../data/augmentation/views.ts";
import { rowMaker } from "../data/batches/rows.ts";
import type { Question } from "../data/question.ts";
import type { Source, Split } from "../data/source.ts";
import { cached } from "../data/sources/cached.ts";
import { subset } from "../data/sources/subset.ts";
import { classify, type ClassifyOptions, drawDropPath } from "../objectives/classify.ts";
import { createStep, snapshot, type Step } from "../step/step.ts";
import { takeSteps } from "../step/take-steps.ts";
import type { Encoder } from "../evaluators/encoder.ts";
import type { EvaluatorOptions, Score } from "../evaluators/evaluator.ts";
import { microBatchFor } from "../cost/micro-batch.ts";
import { type Classifier, openClassifier } from "./classifier.ts";
import { fineTuneRules, type FineTuneSettings, type ResolvedSettings, resolveSettings } from "./finetune-settings.ts";

/** What is fine-tuned. `parameters` may hold more than the encoder; `tuneFromFirstFC` needs the projector's `head.0.weight`. */
export type FineTuneSubject = Pick<Encoder, "model" | "view" | "parameters">;

/** A question, and the source that its rows count in. For few labels its training rows are a part of the images. */
export type FineTuneData = Pick<Question, "classes" | "labels" | "rows"> & { readonly source: Source };

export interface FineTuneOptions extends FineTuneSettings, EvaluatorOptions {
  /** How training images are augmented. Default: as `augmentation` says, with the encoder's normalisation. */
  readonly view?: AugmentView | undefined;
  readonly seed?: number | undefined;
  /** Memory for decoded images. Default: 1 GiB. */
  readonly cacheBytes?: number | undefined;
  /** `done` and `total` count optimizer steps. */
  readonly onProgress?: ((done: number, total: number, what: string) => void) | undefined;
}

/** Accuracy on the test images of the weights that were best in validation. */
export interface FineTuned extends Score {
  readonly validation: number;
  /** Of every test image; -1 for one that cannot be read, which does not count. */
  readonly predictions: Int32Array;
  /** Epochs after which these weights were taken; of equally good ones the last. */
  readonly epoch: number;
  /** At every validation: epochs done, mean loss of the last one, accuracy. */
  readonly history: readonly { readonly epoch: number; readonly loss: number; readonly validation: number }[];
  readonly model: VitConfig;
  readonly view: CenterView;
  /** Encoder and head, under the names of `classify`. */
  readonly parameters: ReadonlyMap<string, Tensor>;
}

/**
 * Trains encoder and a fresh linear classifier, with the paper's settings where the options do not say otherwise. Everything is
 * done in this process: augmentation is little work beside the gradient of a whole encoder. Same seed, same result.
 * Throws one sentence when data, options and checkpoint do not fit.
 */
export async function fineTune(
  subject: FineTuneSubject,
  data: FineTuneData,
  options: FineTuneOptions = {},
): Promise<FineTuned> {
  const { view, seed = 0, device, threads, cacheBytes = 2 ** 30, onProgress, ...given } = options;
  const settings = resolveSettings(given);
  check(subject, data, settings, view);
  const { model, evaluationView, batch, head } = setupOf(subject, data, settings);
  const root = fold(key(seed), "fine-tune");
  const step = await createStep(classify(model, head), {
    backend: openBackend({ device, threads }),
    batch,
    microBatch: settings.microBatch ?? microBatchFor(batch, 1 + patchCount(model)),
    rules: fineTuneRules(model.depth, settings),
    optimizer: { betas: settings.betas, epsilon: 1e-8, weightDecay: settings.weightDecay },
    key: root,
  });
  let classifier: Classifier | undefined;
  try {
    await load(step, subject, model);
    classifier = await openClassifier(step, model, head);
    const images = { ...data, source: cached(data.source, cacheBytes) };
    const measure = (split: Split) => accuracyOf(classifier!, images, split, evaluationView);
    const trainingView = view ?? viewOf(settings, evaluationView);
    const stepsPerEpoch = Math.floor(data.rows.train.length / batch);
    const steps = settings.epochs * stepsPerEpoch;
    const schedule = {
      peak: scaleByBatch(settings.learningRate, batch),
      warmup: settings.warmup ?? Math.min(5, settings.epochs / 10),
      total: settings.epochs,
      end: settings.minLearningRate,
    };
    const walk = {
      to: steps,
      samples: trainingBatches(images, { ...head, view: trainingView, batch, depth: model.depth, seed, root }),
      at: (done: number) => ({ rate: warmupCosine(done / stepsPerEpoch, schedule), progress: done / steps }),
    };

    const history: FineTuned["history"][number][] = [];
    let best = { validation: -1, epoch: 0, parameters: new Map<string, Tensor>() };
    let [news, mean] = ["", 0];
    onProgress?.(0, steps, `epoch 1 of ${settings.epochs}`);
    for await (const { done, loss } of takeSteps(step, walk)) {
      mean += loss / stepsPerEpoch;
      const epoch = Math.floor(done / stepsPerEpoch);
      const isEnd = done % stepsPerEpoch === 0;
      if (isEnd && (epoch % settings.evaluateEvery === 0 || done === steps)) {
        const { value: validation } = await measure("validation");
        history.push({ epoch, loss: mean, validation });
        news = `, loss ${mean.toFixed(3)}, ${(100 * validation).toFixed(1)} % of the validation images`;
        if (validation >= best.validation) best = { validation, epoch, parameters: await snapshot(step.state) };
      }
      if (isEnd) mean = 0;
      if (done < steps) onProgress?.(done, steps, `epoch ${epoch + 1} of ${settings.epochs}${news}`);
    }
    onProgress?.(steps, steps, "");
    await step.state.write(best.parameters);
    const detail = `epoch ${best.epoch} of ${settings.epochs}`;
    return { name: "fine-tune", detail, ...(await measure("test")), ...best, history, model, view: evaluationView };
  } finally {
    await Promise.all([step.release(), classifier?.release()]);
  }
}

/** What settings mean for an encoder and so many images. */
function setupOf(subject: FineTuneSubject, { classes, rows }: FineTuneData, settings: ResolvedSettings) {
  const { imageSize = subject.model.imageSize } = settings;
  const firstLayer = settings.tuneFromFirstFC ? subject.parameters.get("head.0.weight")!.shape[0]! : undefined;
  return {
    model: { ...subject.model, imageSize },
    evaluationView: resized(subject.view, imageSize),
    batch: batchFor(settings.batch, rows.train.length),
    head: { ...settings, classes: classes.length, ...(firstLayer === undefined ? {} : { firstLayer }) },
  };
}

/** An encoder is used with the normalisation it was trained with. */
function viewOf({ augmentation }: ResolvedSettings, { size, mean, std }: CenterView): AugmentView {
  return augmentation === "strong" ? fineTuneView(size, { mean, std }) : maeView(size, { scale: [0.35, 1], mean, std });
}

interface TrainingOptions extends MixOptions, Pick<ClassifyOptions, "dropPath"> {
  readonly view: AugmentView;
  readonly batch: number;
  readonly depth: number;
  /** Of the views. */
  readonly seed: number;
  /** Of everything else. */
  readonly root: Key;
}

/** The samples of step number `done`, through all epochs: mixed images with their targets, and which branches drop out. */
function trainingBatches({ source, labels, rows: { train } }: FineTuneData, options: TrainingOptions) {
  const { view, batch, depth, seed, root, dropPath } = options;
  const make = rowMaker(subset(source, train), { views: { images: view }, seed, cacheBytes: 0, maxBadShare: 0.1 });
  const stepsPerEpoch = Math.floor(train.length / batch);
  let order: { epoch: number; rows: Int32Array } = { epoch: -1, rows: new Int32Array(0) };
  return async (done: number) => {
    const [epoch, i] = [Math.floor(done / stepsPerEpoch), done % stepsPerEpoch];
    const random = (purpose: string, ...path: readonly number[]) => new Random(fold(root, purpose, epoch, ...path));
    if (order.epoch !== epoch) order = { epoch, rows: random("order").permutation(train.length) };
    const { fields, indices } = await make(epoch, order.rows.slice(i * batch, (i + 1) * batch));
    const images = tensor("float32", [batch, 3, view.size, view.size], fields["images"]);
    const found = indices.map((row) => labels[train[row]!]!);
    const targets = mix(images, found, options, random("mix", i));
    return { images, targets, dropPath: drawDropPath(random("drop path", i), batch, depth, dropPath) };
  };
}

/** Of the readable images of a split the share that is classified right, and what is said of each. */
async function accuracyOf(classifier: Classifier, data: FineTuneData, split: Split, view: CenterView) {
  const rows = data.rows[split];
  const predictions = await classifier.predict(subset(data.source, rows), view);
  const readable = Array.from(predictions.keys()).filter((i) => predictions[i] !== -1);
  const hits = readable.filter((i) => predictions[i] === data.labels[rows[i]!]).length;
  return { predictions, value: hits / readable.length };
}

/** What a whole number of images allows: all of them where the batch is larger, even because mixing takes pairs. */
function batchFor(batch: number, images: number): number {
  if (batch <= images) return batch;
  const unit = images < 64 ? 2 : 32; // a round number can be cut into micro-batches
  return images - (images % unit);
}

/** Copies the encoder in, its position embedding fitted to the images' size; what is new keeps its first values. */
async function load({ state }: Step, { model, parameters }: FineTuneSubject, { imageSize, patchSize }: VitConfig) {
  const values = new Map<string, Tensor>();
  for (const name of state.variables.keys()) {
    if (name.startsWith("fc_norm.") || (name.startsWith("head.") && name !== "head.0.weight")) continue;
    const value = parameters.get(name);
    if (value === undefined) throw new Error(`the encoder needs a tensor ${name}, but the checkpoint has none`);
    values.set(name, value);
  }
  if (imageSize !== model.imageSize)
    values.set("pos_embed", resizePositions(values.get("pos_embed") as Tensor<"float32">, imageSize / patchSize));
  await state.write(values);
}

function check(
  { model, parameters }: FineTuneSubject,
  { classes, rows: { train, validation, test } }: FineTuneData,
  { freezeBelow = 0, imageSize = model.imageSize, tuneFromFirstFC }: FineTuneSettings,
  view: AugmentView | undefined,
) {
  if (classes.length < 2) throw new Error(`fine-tuning needs two classes or more, but there is ${classes.length}`);
  if (train.length < 2) throw new Error(`fine-tuning needs two training images or more, but there is ${train.length}`);
  for (const [name, rows] of Object.entries({ validation, test }))
    if (rows.length === 0)
      throw new Error(
        `fine-tuning chooses the epoch on validation images and needs some to test on, but there are none for ${name}`,
      );
  if (freezeBelow > model.depth)
    throw new Error(
      `the encoder has ${model.depth} blocks, so ${freezeBelow} cannot be frozen: set freezeBelow to ${model.depth} or less`,
    );
  patchCount({ ...model, imageSize });
  if (view !== undefined && view.size !== imageSize)
    throw new Error(
      `the view makes images of ${view.size} pixels, but the encoder is to see ${imageSize}; set imageSize to ${view.size}`,
    );
  if (tuneFromFirstFC && !parameters.has("head.0.weight"))
    throw new Error(
      "tuneFromFirstFC goes on from the first layer of a contrastive head (head.0.weight), but this checkpoint has none: " +
        "take a stage trained by contrast (mocov3, simclr, vicreg), or switch tuneFromFirstFC off",
    );
}
