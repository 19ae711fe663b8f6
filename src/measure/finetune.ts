/**
 * End-to-end fine-tuning: the whole encoder learns a labelled task (layer-grafted pre-training's `main_finetune_mae.py`,
 * which follows MAE's). Unlike the released code, the epoch is chosen on images of its own and the last one counts too.
 */
import { fold, key, Random } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import * as op from "../graph/ops/index.ts";
import { cpu } from "../backend/cpu.ts";
import { resizePositions } from "../nn/interpolate.ts";
import { Scope } from "../nn/scope.ts";
import { patchCount, type VitConfig } from "../nn/vit.ts";
import { scaleByBatch, warmupCosine } from "../optim/schedules.ts";
import { cached } from "../data/sources/cached.ts";
import { evaluationBatches } from "../data/batches/evaluation.ts";
import { mix } from "../data/augmentation/mix.ts";
import { rowMaker } from "../data/batches/rows.ts";
import type { Question } from "../data/question.ts";
import type { Source } from "../data/source.ts";
import { subset } from "../data/sources/subset.ts";
import { type AugmentView, type CenterView, fineTuneView, maeView, resized } from "../data/augmentation/views.ts";
import { classify, type ClassifyOptions, drawDropPath, logits } from "../objectives/classify.ts";
import type { Encoder } from "../evaluators/encoder.ts";
import type { EvaluatorOptions, Score } from "../evaluators/evaluator.ts";
import { fineTuneRules, type FineTuneSettings, resolveSettings } from "./finetune-settings.ts";
import { microBatchFor } from "../cost/micro-batch.ts";
import { createStep, snapshot, type Step } from "../step/step.ts";
import { takeSteps } from "../step/take-steps.ts";

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
  const { view: givenView, seed = 0, threads, cacheBytes = 2 ** 30, onProgress, ...given } = options;
  const settings = resolveSettings(given);
  const { epochs, evaluateEvery } = settings;
  check(subject, data, settings, givenView);
  const { train } = data.rows;
  const { imageSize = subject.model.imageSize } = settings;
  const model = { ...subject.model, imageSize };
  const evaluationView = resized(subject.view, imageSize);
  const { mean, std } = evaluationView; // an encoder is used with the normalisation it was trained with
  const view =
    givenView ??
    (settings.augmentation === "strong"
      ? fineTuneView(imageSize, { mean, std })
      : maeView(imageSize, { scale: [0.35, 1], mean, std }));
  const batch = batchFor(settings.batch, train.length);
  const microBatch = settings.microBatch ?? microBatchFor(batch, 1 + patchCount(model));
  const firstLayer = settings.tuneFromFirstFC ? subject.parameters.get("head.0.weight")!.shape[0]! : undefined;
  const head = { ...settings, classes: data.classes.length, ...(firstLayer === undefined ? {} : { firstLayer }) };

  const root = fold(key(seed), "fine-tune");
  const step = await createStep(classify(model, head), {
    backend: cpu(threads === undefined ? {} : { threads }),
    batch,
    microBatch,
    rules: fineTuneRules(model.depth, settings),
    optimizer: { betas: settings.betas, epsilon: 1e-8, weightDecay: settings.weightDecay },
    key: root,
  });
  let classifier: Classifier | undefined;
  try {
    await load(step, subject, model);
    classifier = await openClassifier(step, model, head);
    const source = cached(data.source, cacheBytes);
    const measure = async (rows: readonly number[]) => {
      const predictions = await classifier!.predict(subset(source, rows), evaluationView);
      const readable = Array.from(predictions.keys()).filter((i) => predictions[i] !== -1);
      const hits = readable.filter((i) => predictions[i] === data.labels[rows[i]!]).length;
      return { predictions, value: hits / readable.length };
    };
    const rows = rowMaker(subset(source, train), {
      views: { images: view },
      seed,
      cacheBytes: 0,
      maxBadShare: 0.1,
    });
    const stepsPerEpoch = Math.floor(train.length / batch);
    const steps = epochs * stepsPerEpoch;
    const schedule = {
      peak: scaleByBatch(settings.learningRate, batch),
      warmup: settings.warmup ?? Math.min(5, epochs / 10),
      total: epochs,
      end: settings.minLearningRate,
    };

    const orderOf = (epoch: number) => new Random(fold(root, "order", epoch)).permutation(train.length);
    let order: { epoch: number; rows: Int32Array } = { epoch: -1, rows: new Int32Array(0) };
    const walk = {
      to: steps,
      async samples(done: number) {
        const [epoch, i] = [Math.floor(done / stepsPerEpoch), done % stepsPerEpoch];
        if (order.epoch !== epoch) order = { epoch, rows: orderOf(epoch) };
        const random = (purpose: string) => new Random(fold(root, purpose, epoch, i));
        const { fields, indices } = await rows(epoch, order.rows.slice(i * batch, (i + 1) * batch));
        const images = tensor("float32", [batch, 3, imageSize, imageSize], fields["images"]);
        const labels = indices.map((row) => data.labels[train[row]!]!);
        const targets = mix(images, labels, head, random("mix"));
        return { images, targets, dropPath: drawDropPath(random("drop path"), batch, model.depth, settings.dropPath) };
      },
      at: (done: number) => ({ rate: warmupCosine(done / stepsPerEpoch, schedule), progress: done / steps }),
    };

    const history: FineTuned["history"][number][] = [];
    let best = { validation: -1, epoch: 0, parameters: new Map<string, Tensor>() };
    let [news, mean] = ["", 0];
    onProgress?.(0, steps, `epoch 1 of ${epochs}`);
    for await (const { done, loss } of takeSteps(step, walk)) {
      mean += loss / stepsPerEpoch;
      const epoch = Math.floor(done / stepsPerEpoch);
      const isEnd = done % stepsPerEpoch === 0;
      if (isEnd && (epoch % evaluateEvery === 0 || done === steps)) {
        const { value: validation } = await measure(data.rows.validation);
        history.push({ epoch, loss: mean, validation });
        news = `, loss ${mean.toFixed(3)}, ${(100 * validation).toFixed(1)} % of the validation images`;
        if (validation >= best.validation) best = { validation, epoch, parameters: await snapshot(step.state) };
      }
      if (isEnd) mean = 0;
      if (done < steps) onProgress?.(done, steps, `epoch ${epoch + 1} of ${epochs}${news}`);
    }
    onProgress?.(steps, steps, "");
    await step.state.write(best.parameters);
    const detail = `epoch ${best.epoch} of ${epochs}`;
    const tested = await measure(data.rows.test);
    return { name: "fine-tune", detail, ...tested, ...best, history, model, view: evaluationView };
  } finally {
    await Promise.all([step.release(), classifier?.release()]);
  }
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

interface Classifier {
  /** A class per image; -1 where it cannot be read. Rejects when none can. */
  predict(source: Source, view: CenterView): Promise<Int32Array>;
  release(): Promise<void>;
}

/** Classifies with the weights that `step` has at the time. */
async function openClassifier(
  { backend, state }: Step,
  model: VitConfig,
  options: ClassifyOptions,
): Promise<Classifier> {
  const batch = 64;
  const { imageSize } = model;
  const scope = new Scope();
  const images = op.input("images", "float32", [batch, 3, imageSize, imageSize]);
  const program = await backend.compile({ logits: logits(scope, model, options, { images }) });
  program.bind({ inputs: Object.fromEntries([...scope.variables.keys()].map((name) => [name, state.handle(name)])) });
  return {
    async predict(source, view) {
      const found = new Int32Array(source.length).fill(-1);
      let failure: Error | undefined;
      const onUnreadable = (_: number, error: Error) => void (failure = error);
      for await (const { images, indices } of evaluationBatches(source, view, batch, { onUnreadable })) {
        const { data, shape } = (await program.run({ images }))["logits"] as Tensor<"float32">;
        const classes = shape[1]!;
        for (const [i, index] of indices.entries()) {
          const row = data.subarray(i * classes, (i + 1) * classes);
          found[index] = row.indexOf(Math.max(...row));
        }
      }
      if (failure !== undefined && found.every((each) => each === -1)) throw failure;
      return found;
    },
    release: () => program.release(),
  };
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
