/** What an export is made from. */
import { tensor, type Tensor } from "../../tensor/tensor.ts";
import type { Encoder } from "../../evaluators/encoder.ts";

/** A Vision Transformer under timm's names, and how an image becomes its input. */
export type Exportable = Pick<Encoder, "model" | "view" | "parameters">;

/** A classifier on top of an encoder. */
export interface Head {
  /** What is classified: the class token after the final norm, or the mean of the patches after `fc_norm`. */
  readonly pooling: "cls" | "mean";
  /** [classes, width] */
  readonly weight: Tensor<"float32">;
  /** [classes] */
  readonly bias: Tensor<"float32">;
  /** Their names. */
  readonly classes: readonly string[];
}

/**
 * The classifier that a fine-tuned checkpoint holds beside its encoder (see `classify`); undefined for any other. A first
 * layer that stays below it is linear as well, so both become one.
 */
export function headIn(parameters: Exportable["parameters"], names: readonly string[] | undefined): Head | undefined {
  const matrix = (name: string) => {
    const found = parameters.get(name);
    return found?.shape.length === 2 ? (found as Tensor<"float32">) : undefined;
  };
  // In a contrastive head `head.1.weight` is a norm's, a vector.
  const [first, second] = [matrix("head.0.weight"), matrix("head.1.weight")];
  const weight = first !== undefined && second !== undefined ? product(second, first) : matrix("head.weight");
  const bias = parameters.get(second === undefined ? "head.bias" : "head.1.bias") as Tensor<"float32"> | undefined;
  if (weight === undefined || bias === undefined) return undefined;
  const count = weight.shape[0]!;
  if (names !== undefined && names.length !== count)
    throw new Error(`the checkpoint's head has ${count} classes, but ${names.length} names for them`);
  const classes = names ?? Array.from({ length: count }, (_, i) => `class ${i}`);
  return { pooling: parameters.has("fc_norm.weight") ? "mean" : "cls", weight, bias, classes };
}

/** [M, K] · [K, N], in double precision. */
function product(a: Tensor<"float32">, b: Tensor<"float32">): Tensor<"float32"> {
  const [rows, inner] = a.shape as [number, number];
  const columns = b.shape[1]!;
  const result = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let k = 0; k < inner; k++) {
      const factor = a.data[row * inner + k]!;
      for (let column = 0; column < columns; column++)
        result[row * columns + column]! += factor * b.data[k * columns + column]!;
    }
  return tensor("float32", [rows, columns], Float32Array.from(result));
}
