/** A linear classifier on frozen features, to be exported with the encoder. */
import { tensor } from "../../tensor/tensor.ts";
import type { DeviceOptions } from "../../backend/device.ts";
import type { SourceInput } from "../../data/sources/open.ts";
import { createEncoder } from "../../evaluators/encoder.ts";
import { accuracy } from "../../evaluators/evaluator.ts";
import { fitLinear } from "../../evaluators/linear.ts";
import { classify } from "../../evaluators/logistic.ts";
import { questionsOf, splitsOf } from "../../measure/questions.ts";
import type { Exportable, Head } from "./model.ts";

export interface TrainedHead extends Head {
  /** Share of right answers on the test images, which it has not seen. */
  readonly accuracy: number;
  readonly trainedOn: number;
  readonly testedOn: number;
}

/**
 * Trains the linear probe (`fitLinear`) on labelled images, on the training images alone. Throws one sentence when they
 * have no classes.
 */
export async function trainHead(
  { model, view, parameters }: Exportable,
  images: SourceInput,
  { seed = 0, ...where }: DeviceOptions & { seed?: number } = {},
): Promise<TrainedHead> {
  const { source, questions, reason } = await questionsOf(images, { seed });
  const [question] = questions;
  if (question === undefined) throw new Error(`no classifier can be trained: ${reason}`);
  const encoder = await createEncoder(model, view, parameters, where);
  try {
    const splits = splitsOf(question, await encoder.features(source));
    const { weight, bias } = await fitLinear(splits, where);
    const { features, labels } = splits.test;
    const count = question.classes.length;
    return {
      pooling: "cls",
      weight: tensor("float32", [count, model.width], Float32Array.from(weight)),
      bias: tensor("float32", [count], Float32Array.from(bias)),
      classes: question.classes,
      accuracy: accuracy(classify(features, { weight, bias }), labels),
      trainedOn: splits.train.labels.length,
      testedOn: labels.length,
    };
  } finally {
    await encoder.release();
  }
}
