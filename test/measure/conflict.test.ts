import { existsSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { bothLosses } from "../../src/methods/automatic.ts";
import { readConflict } from "../../src/run/conflict.ts";
import { readMetrics } from "../../src/run/metrics.ts";
import { measureConflict } from "../../src/measure/conflict.ts";
import { defineRecipe, type RecipeInput } from "../../src/recipe/recipe.ts";
import { tiny, tinyJoint, tinyStages, trainHere } from "../train/tiny.ts";

const few = { batches: 3, warmUpSteps: 4 };

describe("on a jointly trained encoder", () => {
  let run: string;
  beforeAll(async () => {
    run = await trainHere(tinyJoint({ epochs: 6 }));
  });

  it("measures every block and group with the parts trained beside it", async () => {
    const told: string[] = [];
    const conflict = await measureConflict(run, { ...few, onProgress: (done, total) => told.push(`${done}/${total}`) });
    expect(conflict).toMatchObject({
      encoder: { stage: "mtl", step: 36, checkpoint: "1-mtl-00000036.final.safetensors" },
      mim: { objective: "mae", partsOf: "mtl", warmUpSteps: 0 },
      cl: { objective: "mocov3", partsOf: "mtl", warmUpSteps: 0 },
      batches: 3,
      batch: 8,
      seed: 0,
    });
    expect(conflict.rows.map(({ block, group }) => `${block} ${group}`)).toEqual(
      [0, 1].flatMap((block) => ["attention", "mlp", "norm", "block"].map((group) => `${block} ${group}`)),
    );
    for (const { cosines, mimNorms, clNorms } of conflict.rows)
      for (const values of [cosines, mimNorms, clNorms]) {
        expect(new Set(values).size).toBe(3);
        for (const value of values) expect(Math.abs(value)).toBeGreaterThan(0);
      }
    expect(readConflict(run)).toEqual(conflict);
    expect(existsSync(join(run, "conflict.csv"))).toBe(true);
    expect(told).toEqual(["0/3", "1/3", "2/3", "3/3"]);
  });

  it("is at the losses where training ended", async () => {
    const rows = readMetrics(run);
    const mean = (name: string, of: typeof rows) => of.reduce((sum, row) => sum + Number(row[name]), 0) / of.length;
    const { mim, cl } = await measureConflict(run, { batches: 12 });
    for (const [name, { loss }] of [["mim", mim] as const, ["cl", cl] as const]) {
      const [first, last] = [mean(name, rows.slice(0, 3)), mean(name, rows.slice(-6))];
      expect(Math.abs(loss - last), name).toBeLessThan(0.3 * (first - last));
    }
  });

  it("gives the same numbers for the same seed, and others for another", async () => {
    const first = await measureConflict(run, few);
    expect(await measureConflict(run, few)).toEqual(first);
    expect((await measureConflict(run, { ...few, seed: 1 })).rows).not.toEqual(first.rows);
  });
});

describe("on the encoder of a run of two stages", () => {
  let run: string;
  beforeAll(async () => {
    run = await trainHere(tiny());
  });

  it.each([
    ["its last", undefined, { mim: 4, cl: 0 }],
    ["its first", "mim", { mim: 0, cl: 4 }],
  ])("takes the other parts from where they are and fits them: %s", async (_, stage, steps) => {
    const { encoder, mim, cl } = await measureConflict(run, { ...few, stage });
    expect(encoder.stage).toBe(stage ?? "cl");
    expect(mim).toMatchObject({ partsOf: "mim", warmUpSteps: steps.mim });
    expect(cl).toMatchObject({ partsOf: "cl", warmUpSteps: steps.cl });
  });

  it("repeats itself through the fit, which lowers the loss", async () => {
    const fitted = await measureConflict(run, { ...few, warmUpSteps: 60 });
    expect(await measureConflict(run, { ...few, warmUpSteps: 60 })).toEqual(fitted);
    const raw = await measureConflict(run, { ...few, warmUpSteps: 0 });
    expect(fitted.mim.loss).toBeLessThan(raw.mim.loss);
    expect(fitted.cl.loss).toBe(raw.cl.loss);
  });

  it("refuses a stage that the run does not have", async () => {
    await expect(measureConflict(run, { stage: "mtl" })).rejects.toThrow("has no checkpoint of a stage named mtl");
  });
});

describe("on a run of one loss", () => {
  const only = (name: "mim" | "cl"): RecipeInput => ({ ...tiny(), stages: [tinyStages()[name]] });

  it.each([
    ["mim", "contrast", "cl", "mocov3"],
    ["cl", "masked image modelling", "mim", "mae"],
  ] as const)("%s: takes the other from elsewhere, with fresh parts", async (name, what, other, objective) => {
    const run = await trainHere(only(name));
    await expect(measureConflict(run, few)).rejects.toThrow(`no stage of the run in ${run} is trained by ${what}`);
    const fallback = bothLosses(defineRecipe(only(name)), 8);
    const conflict = await measureConflict(run, { ...few, fallback });
    expect(conflict[other]).toEqual({ objective, warmUpSteps: 4, loss: expect.any(Number) });
    expect(conflict.batch).toBe(8);
    const fitted = await measureConflict(run, { ...few, warmUpSteps: 40, fallback });
    expect(fitted[other].loss).toBeLessThan(conflict[other].loss);
  });

  it("works with the other losses of each kind", async () => {
    const { mim, cl } = tinyStages();
    const stages = [
      { ...mim, objective: { kind: "simmim" as const } },
      { ...cl, objective: { kind: "simclr" as const, mlpDim: 24, dim: 8, l1Anchor: { weight: 1e-5, blocks: 1 } } },
    ];
    const run = await trainHere({ ...tiny(), stages });
    const found = await measureConflict(run, few);
    expect([found.mim.objective, found.cl.objective]).toEqual(["simmim", "simclr"]);
  });
});
