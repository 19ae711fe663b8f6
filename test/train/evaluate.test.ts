import { expect, it } from "vitest";
import { readEvaluation } from "../../src/run/evaluation.ts";
import { baselines, evaluate, evaluateEncoders } from "../../src/train/evaluate.ts";
import { defineRecipe } from "../../src/train/recipe.ts";
import { tiny, trainHere } from "./tiny.ts";

const names = ({ columns }: { columns: readonly { name: string }[] }) => columns.map(({ name }) => name);

it("a run is measured after every stage, beside random weights and pixels, or only where asked", async () => {
  const dir = await trainHere(tiny());
  const all = await evaluate(dir, { draws: 2 });
  expect(names(all)).toEqual(["random", "pixels", "mim", "cl"]);
  expect(readEvaluation(dir)).toEqual(all);
  for (const { protocol, values, validation, deviations } of all.rows) {
    expect(Object.keys(values)).toEqual(names(all));
    const chosen = protocol === "knn" || protocol === "linear";
    expect(Object.keys((chosen ? validation : deviations)!)).toEqual(names(all));
    expect(chosen ? deviations : validation).toBeUndefined();
  }

  const last = await evaluate(dir, { contenders: ["last"], protocols: ["knn"] });
  expect(names(last)).toEqual(["cl"]);
  expect(last.rows[0]!.values["cl"]).toBe(all.rows[0]!.values["cl"]);
  expect(names(await evaluate(dir, { contenders: ["mim", "pixels", "mim"], protocols: ["knn"] }))).toEqual([
    "mim",
    "pixels",
  ]);
  await expect(evaluate(dir, { contenders: ["mae"] })).rejects.toThrow(
    / has no mae to measure; available: random, pixels, mim, cl, last$/,
  );

  const without = await evaluateEncoders(baselines(defineRecipe(tiny())), tiny().data, { draws: 2, threads: 1 });
  expect(names(without)).toEqual(["random", "pixels"]);
  for (const [i, { values }] of without.rows.entries()) expect(all.rows[i]!.values).toMatchObject(values);
});

it("a run without a finished stage has only what was there before", async () => {
  const dir = await trainHere(tiny(), ({ kind }) => kind === "step");
  await expect(evaluate(dir)).rejects.toThrow(
    /^no stage of the run in .* has ended yet; let it train to the end first$/,
  );
  await expect(evaluate(dir, { contenders: ["last"] })).rejects.toThrow("available: random, pixels");
  expect(names(await evaluate(dir, { contenders: ["pixels"], protocols: ["knn"] }))).toEqual(["pixels"]);
});
