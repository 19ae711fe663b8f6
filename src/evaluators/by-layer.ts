/** Where in depth an encoder's knowledge sits: any question asked of the output of every block. */
import type { Source } from "../data/source.ts";
import type { Encoder, EncoderOptions } from "./encoder.ts";
import type { Features, Score } from "./evaluator.ts";
import { openInside } from "./inside.ts";

export interface LayerScore extends Pick<Score, "value" | "validation"> {
  /** 0 is the embedding, i the output of the i-th block. */
  readonly depth: number;
}

/**
 * Asks the same of every depth's class tokens after the final norm: `ask` answers a depth's features of the source with a
 * score. At depth 0 the class token has not seen the image yet.
 */
export async function byLayer(
  encoder: Pick<Encoder, "model" | "view" | "parameters">,
  source: Source,
  ask: (features: Features) => Promise<Score>,
  options: EncoderOptions = {},
): Promise<LayerScore[]> {
  const inside = await openInside(encoder, ["features"], options);
  const { features } = await inside.look(source);
  await inside.release();
  const scores: LayerScore[] = [];
  for (const [depth, each] of features.entries()) {
    const { value, validation } = await ask(each);
    scores.push({ depth, value, ...(validation === undefined ? {} : { validation }) });
  }
  return scores;
}
