/** A few images by which an encoder is watched while it trains: cheap enough to be asked again and again. */
import { type EvaluationBatch, evaluationBatches } from "../data/batches/evaluation.ts";
import type { Source } from "../data/source.ts";
import { openSource, type SourceSpec } from "../data/sources/open.ts";
import { sample, stratifiedSample, subset } from "../data/sources/subset.ts";
import type { CenterView } from "../data/augmentation/views.ts";
import type { Encoder } from "../evaluators/encoder.ts";
import { type Features, type LabelledFeatures, mostFrequent } from "../evaluators/evaluator.ts";
import { knn } from "../evaluators/knn.ts";
import { deviation } from "../evaluators/statistics.ts";
import { questionsOf } from "./questions.ts";

export interface Slice {
  /** Readable images. */
  readonly count: number;
  /** Images per run of the encoder. */
  readonly batch: number;
  measure(encoder: Pick<Encoder, "encode">): Promise<SliceScores>;
}

export interface SliceScores {
  /** Of the class-token features; see `deviation`. */
  readonly deviation: number;
  /** Where the images have classes: the share of right answers, and that of always naming the most frequent class. */
  readonly knn?: { readonly accuracy: number; readonly chance: number };
}

export interface SliceOptions {
  /** At most so many images. */
  readonly images: number;
  /** That of the evaluation: no image is taken that is tested on there. */
  readonly seed: number;
  readonly threads?: number | undefined;
}

/**
 * Half of the images are a gallery and half are queries, with the share that every class has in the train and validation
 * splits of the evaluation. Nobody trains on the queries where these splits are the source's own, or emoji's by concept;
 * where they are drawn from the images one trains on, it is their labels that nobody trains on. Nothing is chosen: k is 10,
 * or a tenth of a gallery below 100, and the temperature 0.07 (Wu et al., CVPR 2018). Images without classes have no k-NN.
 * They are decoded once, and those that cannot be read are left out. Throws when none can.
 */
export async function openSlice(
  spec: SourceSpec,
  view: CenterView,
  { images, seed, threads }: SliceOptions,
): Promise<Slice> {
  const { source, questions } = await questionsOf(spec, { seed });
  const [question] = questions;
  const sources =
    question === undefined
      ? [sample(await openSource(spec), images, seed)]
      : [question.rows.train, question.rows.validation].map((rows) =>
          stratifiedSample(subset(source, rows), Math.ceil(images / 2), seed),
        );
  const batch = Math.min(64, Math.max(...sources.map(({ length }) => length)));
  const parts: Part[] = [];
  for (const source of sources) parts.push(await decode(source, view, batch));
  const count = parts.reduce((sum, { labels }) => sum + labels.length, 0);
  if (count === 0) throw new Error(parts[0]!.reason);
  return {
    count,
    batch,
    async measure(encoder) {
      const seen: LabelledFeatures[] = [];
      for (const part of parts) seen.push(await features(encoder, part));
      const spread = deviation(joined(seen.map(({ features }) => features)));
      const [train, test] = seen as [LabelledFeatures, LabelledFeatures | undefined];
      if (test === undefined || train.features.count === 0 || test.features.count === 0) return { deviation: spread };
      const k = Math.min(10, Math.ceil(train.features.count / 10));
      const classes = sources[0]!.classes.length;
      const [score] = await knn.run({ classes, train, validation: test, test }, { ks: [k], threads });
      return { deviation: spread, knn: { accuracy: score!.value, chance: mostFrequent(test.labels) } };
    },
  };
}

interface Part {
  readonly batches: readonly EvaluationBatch[];
  /** Of the readable images. */
  readonly labels: Int32Array;
  /** Why the first of the others cannot be read. */
  readonly reason: string | undefined;
}

async function decode(source: Source, view: CenterView, batch: number): Promise<Part> {
  const batches: EvaluationBatch[] = [];
  let reason: string | undefined;
  const onUnreadable = (_: number, error: Error) => void (reason ??= error.message);
  for await (const each of evaluationBatches(source, view, batch, { onUnreadable })) batches.push(each);
  return {
    batches,
    labels: Int32Array.from(
      batches.flatMap(({ indices }) => [...indices]),
      source.label,
    ),
    reason,
  };
}

async function features(encoder: Pick<Encoder, "encode">, { batches, labels }: Part): Promise<LabelledFeatures> {
  const found: Features[] = [];
  for (const { images, indices } of batches) {
    const { data, shape } = await encoder.encode(images);
    const width = shape[1]!;
    found.push({ rows: data.subarray(0, indices.length * width), count: indices.length, width });
  }
  return { features: joined(found), labels };
}

/** All rows, one list after the other. */
function joined(parts: readonly Features[]): Features {
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const width = Math.max(0, ...parts.map((part) => part.width)); // 0 where nothing could be read
  const rows = new Float32Array(count * width);
  let at = 0;
  for (const part of parts) {
    rows.set(part.rows, at);
    at += part.rows.length;
  }
  return { rows, count, width };
}
