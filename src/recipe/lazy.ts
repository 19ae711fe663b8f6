/** Which parameters a stage may train in every k-th step only: the backward pass of the others must end above them. */
import { backbonePattern, layerOf, type VitConfig } from "../nn/vit.ts";
import { everyOf, type RateRule, treatment } from "../optim/groups.ts";
import { trace } from "../step/graphs.ts";
import type { Objective } from "../objectives/objective.ts";

/** Throws one sentence when the lazy parameters are not all that is trained up to some layer of the encoder. */
export function checkLazy(objective: Objective, { depth }: VitConfig, rules: readonly RateRule[]): void {
  const every = everyOf(rules);
  if (every === 1) return;
  const { encoder } = objective;
  const backbone = new RegExp(backbonePattern(encoder));
  const trained = trace(objective, 2).trainable.flatMap(({ name }) => {
    const { frozen, every: own } = treatment(rules, name);
    const layer = backbone.test(name) ? layerOf(name.slice(encoder.length), depth) : Infinity;
    return frozen ? [] : [{ name, layer, isLazy: own !== undefined }];
  });
  const lazy = trained.filter(({ isLazy }) => isLazy);
  if (lazy.length === 0) throw new Error(`a rule says every ${every} steps, but matches nothing that is trained`);
  const highest = lazy.reduce((a, b) => (b.layer > a.layer ? b : a));
  if (highest.layer === Infinity)
    throw new Error(`${highest.name} stands above the encoder and is trained in every step; leave out its every`);
  const gap = trained.find(({ layer, isLazy }) => layer <= highest.layer && !isLazy);
  if (gap !== undefined)
    throw new Error(
      `${gap.name} is trained in every step, but ${highest.name}, which is no lower, in one of ${every}: the backward pass ` +
        "of the others can only end above all that is lazy, so every is for embeddings and lowest blocks, without a gap",
    );
}
