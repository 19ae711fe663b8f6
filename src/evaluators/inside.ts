/** An encoder with its insides as outputs. */
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import { openBackend } from "../backend/open.ts";
import { norm } from "../nn/layers.ts";
import { Scope } from "../nn/scope.ts";
import { encode, patches, type VitConfig } from "../nn/vit.ts";
import type { Source } from "../data/source.ts";
import { attentionDistance, classAttention } from "./attention.ts";
import { collectParts } from "./collect.ts";
import { type Encoder, type EncoderOptions, isPooled } from "./encoder.ts";
import type { Features } from "./evaluator.ts";

/**
 * What can be asked for; depth 0 is the embedding, i the output of the i-th block.
 *
 * - `features`: of every depth the class token after the final norm, as if no further block came (`--feature_from` of the
 *   released code);
 * - `tokens`: of every depth the mean of the patch tokens, without the final norm, whose weights fit the last depth alone:
 *   unlike the class token it knows the image at every depth, and its length shows;
 * - `distances`: of every block the mean attention distance of each head, in pixels;
 * - `attention`: of every block where the class token looks, a number per patch.
 */
export type Aspect = "features" | "tokens" | "distances" | "attention";

export interface Inside<A extends Aspect> {
  /** What was asked for of every image, input side first. Rejects when no image can be read. */
  look(source: Source): Promise<Record<A, Features[]>>;
  release(): Promise<void>;
}

/** Compiles an encoder once more, with `aspects` as its outputs: each costs memory, so ask for what is used. */
export async function openInside<A extends Aspect>(
  { model, view, parameters }: Pick<Encoder, "model" | "view" | "parameters">,
  aspects: readonly A[],
  { batch = 32, ...options }: EncoderOptions = {},
): Promise<Inside<A>> {
  if (isPooled(parameters))
    throw new Error(
      "this encoder averages its patches (fc_norm), so its class token was not trained: there is nothing to see in it by layer",
    );
  const graph = insideGraph(model, batch);
  const outputs = aspects.flatMap((aspect) => graph[aspect].map((value, i) => [`${aspect}.${i}`, value] as const));
  const program = await openBackend(options).compile(Object.fromEntries(outputs));
  const used = [...parameters].filter(([name]) => program.inputs.has(name));
  program.bind({ inputs: Object.fromEntries(used) });
  return {
    async look(source) {
      const found = await collectParts(source, view, {
        batch,
        widths: outputs.map(([, { shape }]) => shape[1]!),
        async partsOf(images) {
          const results = await program.run({ images });
          return outputs.map(([name]) => results[name]!.data as Float32Array);
        },
      });
      const parts = aspects.map((aspect) => [aspect, found.splice(0, graph[aspect].length)] as const);
      return Object.fromEntries(parts) as Record<A, Features[]>;
    },
    release: () => program.release(),
  };
}

/** Every aspect as values [batch, numbers], one per depth or block. */
export function insideGraph(model: VitConfig, batch: number): Record<Aspect, Value[]> {
  const { width, imageSize, patchSize } = model;
  const scope = new Scope();
  const images = op.input("images", "float32", [batch, 3, imageSize, imageSize]);
  const all: Record<Aspect, Value[]> = { features: [], tokens: [], distances: [], attention: [] };
  const observe = {
    tokens(_: number, x: Value) {
      all.features.push(op.reshape(norm(scope.at("norm"), op.slice(x, 1, 0, 1)), [batch, width]));
      all.tokens.push(op.reduceMean(op.slice(x, 1, 1, x.shape[1]!), { axis: 1 }));
    },
    attention(_: number, weights: Value) {
      all.distances.push(attentionDistance(weights, model));
      all.attention.push(classAttention(weights));
    },
  };
  encode(scope, model, patches(images, patchSize), { lineage: "mae", observe });
  return all;
}
