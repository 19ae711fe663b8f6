/** Encoders to export: small, and not as fresh as initial values leave them. */
import { key } from "../../../src/tensor/random.ts";
import { type Tensor, tensor } from "../../../src/tensor/tensor.ts";
import { evaluationBatches } from "../../../src/data/batches/evaluation.ts";
import { openSource } from "../../../src/data/sources/open.ts";
import { centerCrop } from "../../../src/data/augmentation/views.ts";
import { initialParameters } from "../../../src/evaluators/encoder.ts";
import { draw, randomFor } from "../../helpers.ts";

export const model = { imageSize: 16, patchSize: 8, width: 24, depth: 2, heads: 2 };
export const view = centerCrop(16, { resize: 16 });

/** Every parameter drawn anew where its first value is 0 or 1, so that biases and norms count. */
export function parameters(): Map<string, Tensor> {
  const random = randomFor("export");
  const shaken = (name: string, { shape, data }: Tensor) => {
    const moved = (data as Float32Array).map((x) => Math.fround(x + 0.2 * random.normal()));
    return [name, tensor("float32", shape, moved)] as const;
  };
  return new Map([...initialParameters(model, key(3))].map(([name, value]) => shaken(name, value)));
}

export const subject = { model, view, parameters: parameters() };

/** [count, 3, 16, 16] */
export async function images(count: number): Promise<Tensor<"float32">> {
  const source = await openSource({ kind: "synthetic", length: count, size: 16 });
  return (await evaluationBatches(source, view, count).next()).value!.images;
}

export function randomTensor(name: string, ...shape: number[]): Tensor<"float32"> {
  return draw("float32", shape, randomFor("export", name));
}
