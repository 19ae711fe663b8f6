/** An encoder as one self-contained ONNX model that any runtime can read. */
import type { Tensor } from "../../tensor/tensor.ts";
import * as op from "../../graph/ops/index.ts";
import type { Value } from "../../graph/value.ts";
import { lowerForAnyBatch } from "../../onnx/any-batch.ts";
import { cpu } from "../../backend/cpu.ts";
import type { DeviceOptions } from "../../backend/device.ts";
import { openFile } from "../../backend/open.ts";
import { encodeModel } from "../../onnx/proto.ts";
import { Scope } from "../../nn/scope.ts";
import { encode, type Observer, patches } from "../../nn/vit.ts";
import { evaluationBatches } from "../../data/batches/evaluation.ts";
import { openSource } from "../../data/sources/open.ts";
import { logits } from "../../objectives/classify.ts";
import type { Exportable, Head } from "./model.ts";
import { storeWeight, type StoredType } from "./stored.ts";

export interface OnnxOptions {
  /** A classifier: the model then gives `logits` in place of features. */
  readonly head?: Head | undefined;
  /** Also give what each token of the last block looks at. */
  readonly attention?: boolean;
  /** How the weights are stored. Default: fp32. */
  readonly dtype?: StoredType;
  /** Where the weights come from, for the file's metadata. */
  readonly origin?: string;
}

/**
 * The bytes of an ONNX model. Input: `pixel_values` [batch, 3, S, S], any batch. Outputs: `last_hidden_state` [batch, 1 + L, D]
 * after the final norm and `pooler_output` [batch, D], its class token; or, with a head, `logits` [batch, classes]. With
 * attention also `attentions` [batch, heads, 1 + L, 1 + L] of the last block. Metadata say how an image becomes an input.
 * Throws one sentence when a parameter is missing, or when the weights are too large for the format.
 */
export function exportOnnx(subject: Exportable, options: OnnxOptions = {}): Uint8Array {
  const { dtype = "fp32" } = options;
  const weights = weightsOf(subject, options);
  const graph = lowerForAnyBatch((batch) => outputsOf(subject, options, batch), inputName);
  const stored = graph.input
    .filter(({ name }) => name !== inputName)
    .map(({ name }) => storeWeight(name, weight(weights, name), dtype));
  const initializer = [...stored.flatMap((each) => each.initializer), ...graph.initializer];
  const bytes = initializer.reduce((sum, { raw_data }) => sum + raw_data.length, 0);
  if (bytes > largest)
    throw new Error(
      `the weights have ${(bytes / 1e9).toFixed(1)} GB as ${dtype}, but an ONNX file ends at 2 GB; ` +
        "export them with --dtype fp16 or int8, or as safetensors",
    );
  const node = [...stored.flatMap((each) => each.node), ...graph.node];
  const input = graph.input.filter(({ name }) => name === inputName);
  return encodeModel({ ...graph, node, initializer, input }, metadataOf(subject, options), "oldest");
}

/** Protobuf's limit, less what names and nodes need. */
const largest = 2 ** 31 - 2 ** 22;

const inputName = "pixel_values";

/** The outputs for a batch; parameters are graph inputs under their names. */
function outputsOf({ model }: Exportable, { head, attention = false }: OnnxOptions, batch: number) {
  const scope = new Scope();
  const images = op.input(inputName, "float32", [batch, 3, model.imageSize, model.imageSize]);
  let last: Value | undefined;
  const observe: Observer = { attention: (_, weights) => void (last = weights) };
  const outputs: Record<string, Value> = {};
  if (head === undefined) {
    const tokens = encode(scope, model, patches(images, model.patchSize), { lineage: "mae", observe });
    outputs["last_hidden_state"] = tokens;
    outputs["pooler_output"] = op.reshape(op.slice(tokens, 1, 0, 1), [batch, model.width]);
  } else {
    const { pooling, classes } = head;
    const options = { pooling, classes: classes.length };
    outputs["logits"] = logits(scope, model, options, { images }, attention ? observe : undefined);
  }
  if (attention) outputs["attentions"] = last!;
  return outputs;
}

function weightsOf({ parameters }: Exportable, { head }: OnnxOptions): ReadonlyMap<string, Tensor> {
  if (head === undefined) return parameters;
  return new Map([...parameters, ["head.weight", head.weight] as const, ["head.bias", head.bias] as const]);
}

function weight(weights: ReadonlyMap<string, Tensor>, name: string): Tensor<"float32"> {
  const value = weights.get(name);
  if (value === undefined) throw new Error(`the encoder needs a tensor ${name}, but the checkpoint has none`);
  return value as Tensor<"float32">;
}

/** Strings that a reader of the file finds in its metadata_props; what is not a word or a number is JSON. */
function metadataOf({ model, view }: Exportable, { head, origin, dtype = "fp32" }: OnnxOptions) {
  const { size, resize, interpolation, mean, std } = view;
  return {
    ...(origin === undefined ? {} : { origin }),
    weights: dtype,
    model: JSON.stringify(model),
    "image.resize_shorter_side": String(resize),
    "image.interpolation": `${interpolation}, antialiased`,
    "image.center_crop": String(size),
    "image.rescale": "1/255",
    "image.mean": JSON.stringify(mean),
    "image.std": JSON.stringify(std),
    ...(head === undefined ? {} : { classes: JSON.stringify(head.classes) }),
  };
}

/** Largest relative error ‖found - expected‖ / ‖expected‖ of a whole output that a right file may have. */
const tolerances: Readonly<Record<StoredType, number>> = { fp32: 1e-4, fp16: 1e-2, int8: 0.1 };

/**
 * Runs a written file on the device in batches of one, two and five images and compares it with the encoder as we run it
 * ourselves on the processor.
 * Returns the largest relative error of an output. Throws one sentence when it is larger than rounding explains.
 */
export async function checkOnnx(
  path: string,
  subject: Exportable,
  options: OnnxOptions = {},
  { device, threads }: DeviceOptions = {},
): Promise<number> {
  const { dtype = "fp32" } = options;
  const { view } = subject;
  const weights = weightsOf(subject, options);
  const file = await openFile(path, { device, threads });
  const reference = cpu({ threads });
  let worst = 0;
  try {
    for (const batch of [1, 2, 5]) {
      const source = await openSource({
        kind: "synthetic",
        length: batch,
        size: Math.max(view.resize, 4),
        seed: batch,
      });
      const { value } = await evaluationBatches(source, view, batch).next();
      const feeds = { [inputName]: value!.images };
      const program = await reference.compile(outputsOf(subject, options, batch));
      const names = [...program.inputs.keys()].filter((name) => name !== inputName);
      program.bind({ inputs: Object.fromEntries(names.map((name) => [name, weight(weights, name)])) });
      const [found, expected] = [await file.run(feeds), await program.run(feeds)];
      await program.release();
      for (const [name, { data }] of Object.entries(expected)) {
        const error = relativeError(found[name]?.data ?? [], data as Float32Array);
        if (!(error <= tolerances[dtype]))
          throw new Error(
            `${name} of the exported model is not the encoder's: the relative error is ${error.toPrecision(2)} for ` +
              `${batch} images, and at most ${tolerances[dtype]} is expected of ${dtype}; the file was not kept`,
          );
        worst = Math.max(worst, error);
      }
    }
  } finally {
    await file.release();
  }
  return worst;
}

/** Infinite where the two are not of one length or not numbers. */
function relativeError(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return Infinity;
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (found[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}
