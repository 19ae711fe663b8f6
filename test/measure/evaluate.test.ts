import { basename, join } from "node:path";
import { expect, it } from "vitest";
import type { SourceInput } from "../../src/data/sources/open.ts";
import { listCheckpoints } from "../../src/run/checkpoint.ts";
import { readEvaluation } from "../../src/run/evaluation.ts";
import { baselines } from "../../src/measure/candidates.ts";
import { evaluate, evaluateEncoders } from "../../src/measure/evaluate.ts";
import { defineRecipe } from "../../src/recipe/recipe.ts";
import { tiny, trainHere } from "../train/tiny.ts";

const few = { settings: { "few-shot": { draws: 2 } } };
const names = ({ columns }: { columns: readonly { name: string }[] }) => columns.map(({ name }) => name);

it("a run is measured after every stage, beside random weights and pixels, or only where asked", async () => {
  const dir = await trainHere(tiny());
  const all = await evaluate(dir, few);
  expect(names(all)).toEqual(["random", "pixels", "mim", "cl"]);
  expect(readEvaluation(dir)).toEqual(all);
  for (const { protocol, values, validation, deviations } of all.rows) {
    expect(Object.keys(values)).toEqual(names(all));
    const chosen = protocol === "knn" || protocol === "linear";
    expect(Object.keys((chosen ? validation : deviations)!)).toEqual(names(all));
    expect(chosen ? deviations : validation).toBeUndefined();
  }

  const last = await evaluate(dir, { encoders: ["last"], protocols: ["knn"] });
  expect(names(last)).toEqual(["cl"]);
  expect(last.rows[0]!.values["cl"]).toBe(all.rows[0]!.values["cl"]);
  expect(names(await evaluate(dir, { encoders: ["mim", "pixels", "mim"], protocols: ["knn"] }))).toEqual([
    "mim",
    "pixels",
  ]);
  await expect(evaluate(dir, { encoders: ["mae"] })).rejects.toThrow(
    / has no mae to measure; available: random, pixels, mim, cl, last$/,
  );

  const without = await evaluateEncoders(baselines(defineRecipe(tiny())), tiny().data, { ...few, threads: 1 });
  expect(names(without)).toEqual(["random", "pixels"]);
  for (const [i, { values }] of without.rows.entries()) expect(all.rows[i]!.values).toMatchObject(values);
});

it("what is measured later is added, and another way of asking replaces the row", async () => {
  const dir = await trainHere(tiny());
  await evaluate(dir, { protocols: ["knn"], encoders: ["pixels"] });
  await evaluate(dir, { protocols: ["knn", "few-shot"], encoders: ["cl"], ...few });
  const both = readEvaluation(dir)!;
  expect(names(both)).toEqual(["pixels", "cl"]);
  const [knn, ...shots] = both.rows;
  expect(Object.keys(knn!.values)).toEqual(["pixels", "cl"]);
  expect(shots.map(({ protocol, values }) => [protocol, Object.keys(values)])).toEqual([
    ["few-shot", ["cl"]],
    ["few-shot", ["cl"]],
  ]);
  await evaluate(dir, {
    protocols: ["linear", "few-shot"],
    encoders: ["cl"],
    settings: { "few-shot": { shots: [2] } },
  });
  expect(readEvaluation(dir)!.rows.map(({ label }) => label.split(",")[0])).toEqual([
    "k-NN",
    "1 label per class",
    "5 labels per class",
    "2 labels per class", // beside its own kind
    "linear probe",
  ]);
  await evaluate(dir, { protocols: ["knn"], encoders: ["cl"], settings: { knn: { ks: [1] } } });
  expect(Object.keys(readEvaluation(dir)!.rows[0]!.values)).toEqual(["cl"]);
});

it("a checkpoint file is measured beside what it must beat, and writes nothing", async () => {
  const dir = await trainHere(tiny());
  const last = listCheckpoints(dir).at(-1)!.path;
  const { data } = tiny();
  const measured = await evaluate(last, { data, protocols: ["knn"] });
  expect(names(measured)).toEqual(["random", "pixels", "checkpoint"]);
  expect(measured.columns[2]!.title).toBe(basename(last, ".safetensors"));
  const ofRun = await evaluate(dir, { protocols: ["knn"] });
  expect(measured.rows[0]!.values["checkpoint"]).toBe(ofRun.rows[0]!.values["cl"]);
  await expect(evaluate(last)).rejects.toThrow(/is a checkpoint and does not say which images/);
  await expect(evaluate(join(dir, "recipe.json"), { data })).rejects.toThrow(/recipe\.json/);
});

it("other images than the run's are named in the rows, which stand beside the run's own", async () => {
  const dir = await trainHere(tiny());
  const options = { protocols: ["knn" as const], encoders: ["cl"] };
  await evaluate(dir, options);
  const other = await evaluate(dir, { ...options, data: { ...tiny().data, length: 36 } as SourceInput });
  expect(other.rows[0]!.data).toBe("synthetic");
  expect(readEvaluation(dir)!.rows.map(({ data }) => data)).toEqual([undefined, "synthetic"]);
});

it("an option that a protocol does not have is refused", async () => {
  const dir = await trainHere(tiny());
  const set = (settings: object) => evaluate(dir, { settings });
  await expect(set({ kmeans: {} })).rejects.toThrow(/^there is no protocol kmeans to set options of; available: knn, /);
  await expect(set({ knn: { neighbours: 3 } })).rejects.toThrow(/^the protocol knn has no option neighbours; it has: /);
  await expect(set({ "few-shot": { draws: 0 } })).rejects.toThrow(/^the protocol few-shot cannot be run: draws: /);
});

it("a run without a finished stage has only what was there before", async () => {
  const dir = await trainHere(tiny(), ({ kind }) => kind === "step");
  await expect(evaluate(dir)).rejects.toThrow(
    /^no stage of the run in .* has ended yet; let it train to the end first$/,
  );
  await expect(evaluate(dir, { encoders: ["last"] })).rejects.toThrow("available: random, pixels");
  expect(names(await evaluate(dir, { encoders: ["pixels"], protocols: ["knn"] }))).toEqual(["pixels"]);
});
