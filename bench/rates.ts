/**
 * A grid of learning rates by depth for the graft, on the MIM encoders of a finished study: what `layer-grafted` and
 * `auto-grafted` are to be compared with.
 *
 *     node dist/bench/rates.js runs/study --rates 1,1,1 --rates 0.1,0.1,1 --seeds 2 --jobs 2
 *
 * Everything but the rates is as in the study: encoders, learning rate, epochs, images, splits and draws. Runs go into the
 * study's folder `rates/`; what is there already is not trained again.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { stages } from "../src/optim/groups.ts";
import { frozenPatches } from "../src/methods/methods.ts";
import { type Evaluation, readEvaluation } from "../src/run/evaluation.ts";
import type { StudyOptions } from "../src/study/design.ts";
import type { StudyResults } from "../src/study/results.ts";
import { questions, threadsOf } from "../src/study/run.ts";
import { evaluate } from "../src/measure/evaluate.ts";
import { pretrain } from "../src/train/pretrain.ts";
import { defineRecipe } from "../src/recipe/recipe.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rates: { type: "string", multiple: true, default: ["1,1,1", "0.1,0.1,1"] },
    seeds: { type: "string", default: "1" },
    jobs: { type: "string", default: "1" },
  },
});
const [folder] = positionals;
if (folder === undefined) throw new Error("which study? node dist/bench/rates.js runs/study --rates 0.1,0.1,1");
const read = (...path: string[]) => JSON.parse(readFileSync(join(folder, ...path), "utf8")) as unknown;
const study = read("study.json") as StudyOptions;
const { entries } = read("results.json") as StudyResults;
const grafted = entries.find(({ entry }) => entry === "layer-grafted");
if (grafted === undefined) throw new Error(`${folder} has no layer-grafted runs to vary`);

const [jobs, seeds] = [Number(values.jobs), Number(values.seeds)];
const found = new Map<string, Evaluation[]>();
const open = values.rates.flatMap((rates) =>
  grafted.seeds.slice(0, seeds).map(({ cell, seed }) => async () => {
    const out = join(folder, "rates", `${rates.replaceAll(",", "-")}-s${seed}`);
    const recipe = defineRecipe(read("cells", cell, "recipe.json"));
    const [stage] = recipe.stages;
    const rules = [...frozenPatches, ...stages(recipe.model.depth, rates.split(",").map(Number))];
    const changed = {
      ...recipe,
      name: `rates ${rates}`,
      threads: threadsOf(jobs),
      stages: [{ ...stage!, rates: rules }],
    };
    let evaluation = readEvaluation(out);
    if (evaluation === undefined) {
      await pretrain(existsSync(join(out, "recipe.json")) ? { out, resume: true } : { recipe: changed, out });
      evaluation = await evaluate(out, { ...questions({ study, jobs }), encoders: ["last"] });
    }
    console.log(`rates ${rates}, seed ${seed}: ${describe([evaluation])}`);
    found.set(rates, [...(found.get(rates) ?? []), evaluation]);
  }),
);
await Promise.all(
  Array.from({ length: jobs }, async () => {
    for (let run = open.shift(); run !== undefined; run = open.shift()) await run();
  }),
);
console.log("\nmean over seeds");
for (const rates of values.rates) console.log(`${rates.padEnd(16)} ${describe(found.get(rates)!)}`);

/** Mean accuracy per question, in per cent. */
function describe(evaluations: readonly Evaluation[]): string {
  return evaluations[0]!.rows
    .map(({ label }, i) => {
      const mean =
        evaluations.reduce((sum, { rows }) => sum + Object.values(rows[i]!.values)[0]!, 0) / evaluations.length;
      return `${label.split(",")[0]} ${(100 * mean).toFixed(1)}`;
    })
    .join("   ");
}
