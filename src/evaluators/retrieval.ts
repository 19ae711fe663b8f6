import type { EvaluatorOptions, Features, Score } from "./evaluator.ts";
import { neighbours } from "./neighbours.ts";

/** Rows of features and what each shows. */
export interface Collection {
  readonly features: Features;
  /** The same number for two images of the same thing. */
  readonly identities: Int32Array;
}

/**
 * Share of queries whose nearest gallery image (cosine) shows the same thing. Queries without a counterpart in the
 * gallery do not count.
 */
export async function retrieval(
  queries: Collection,
  gallery: Collection,
  options: EvaluatorOptions = {},
): Promise<Score> {
  const present = new Set(gallery.identities);
  const { indices } = await neighbours(queries.features, gallery.features, 1, options);
  let [hits, asked] = [0, 0];
  for (const [i, identity] of queries.identities.entries()) {
    if (!present.has(identity)) continue;
    asked++;
    if (gallery.identities[indices[i]!] === identity) hits++;
  }
  return { name: "retrieval", value: hits / asked };
}
