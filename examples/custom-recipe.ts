/**
 * A recipe of one's own: is a small learning rate in the lower layers better than none at all?
 *
 *     node dist/examples/custom-recipe.js
 *
 * Both runs start from the same masked image modelling. "frozen" leaves the lower two thirds of the blocks as they are,
 * "grafted" lets them follow slowly. Grafting is nothing but the list of rates, so the two recipes differ in one field.
 * The drawings and the few epochs here only show how it is done; for an answer put in your images and more epochs.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { evaluate, method, pretrain, rates, type RateRule, type RecipeInput, runs, type SourceInput } from "layergraft";

const model = { imageSize: 32, patchSize: 8, width: 96, depth: 6, heads: 3 };

/** The patch projection stays as it is in both; later rules only see what earlier ones leave open. */
const grafts: Record<string, RateRule[]> = {
  frozen: [{ match: "cls_token|patch_embed\\.|blocks\\.[0-3]\\.", frozen: true }],
  grafted: [{ match: "patch_embed\\.", frozen: true }, ...rates.stages(model.depth, [0.1, 0.1, 1])],
};

export async function compare(data: SourceInput, folder: string, epochs = 3): Promise<Record<string, number>> {
  const base = method("layer-grafted", {
    data,
    model,
    resize: model.imageSize,
    mim: { epochs, batch: 32, learningRate: 2e-3 },
    cl: { epochs, batch: 32, learningRate: 2e-3, mlpDim: 128, dim: 64 },
  });
  const [mim, cl] = base.stages;

  // The first stage once; its checkpoint is where both second stages start.
  const first: RecipeInput = { ...base, name: "mim", stages: [mim!] };
  const start = join(folder, "mim");
  await pretrain({ recipe: first, out: start });
  const { path } = runs.listCheckpoints(start).at(-1)!;

  const scores: Record<string, number> = {};
  for (const [name, rules] of Object.entries(grafts)) {
    const recipe: RecipeInput = {
      ...base,
      name,
      stages: [{ ...cl!, rates: rules, init: [{ path, to: "base_encoder." }] }],
    };
    const out = join(folder, name);
    await pretrain({ recipe, out });
    const { rows } = await evaluate(out, { protocols: ["knn"] });
    const accuracy = rows[0]!.values["cl"]!;
    console.log(`${name}: k-NN ${(100 * accuracy).toFixed(1)} %`);
    scores[name] = accuracy;
  }
  return scores;
}

if (import.meta.filename === process.argv[1])
  await compare({ kind: "synthetic", length: 256, size: 32 }, mkdtempSync(join(tmpdir(), "layergraft-")));
