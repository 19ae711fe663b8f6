import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Conflict, readConflict, writeConflict } from "../../src/run/conflict.ts";
import { readEvaluation, writeEvaluation } from "../../src/run/evaluation.ts";
import { addNotes, readNotes } from "../../src/run/notes.ts";
import { readSamples, writeSamples } from "../../src/run/samples.ts";
import { temporaryRun } from "./temporary.ts";

test("notes add up; a fact is replaced and nothing is noted twice", () => {
  const dir = temporaryRun();
  expect(readNotes(dir)).toEqual({ facts: [], skipped: [], warnings: [] });
  addNotes(dir, { facts: [{ name: "Images", value: "1" }], warnings: ["collapse"] });
  addNotes(dir, { facts: [{ name: "Model", value: "vit" }], skipped: [{ path: "a.png", reason: "empty" }] });
  addNotes(dir, { facts: [{ name: "Images", value: "2" }], warnings: ["collapse", "slow"] });
  expect(readNotes(dir)).toEqual({
    facts: [
      { name: "Images", value: "2" },
      { name: "Model", value: "vit" },
    ],
    skipped: [{ path: "a.png", reason: "empty" }],
    warnings: ["collapse", "slow"],
  });
});

test("an evaluation is read as written, and a wrong one is named", () => {
  const dir = temporaryRun();
  expect(readEvaluation(dir)).toBeUndefined();
  const evaluation = {
    columns: [{ name: "mim", title: "MIM" }],
    rows: [
      {
        protocol: "knn",
        label: "k-NN",
        metric: "accuracy",
        values: { mim: 0.5 },
        validation: { mim: 0.6 },
        chance: 0.1,
      },
    ],
  };
  writeEvaluation(dir, evaluation);
  expect(readEvaluation(dir)).toEqual(evaluation);
  writeFileSync(join(dir, "evaluation.json"), `{"columns":[],"rows":[{"protocol":"knn"}]}`);
  expect(() => readEvaluation(dir)).toThrow("evaluation.json is not as expected at rows.0.label");
});

test("samples are written and read one by one", () => {
  const dir = temporaryRun();
  const learningRates = { stages: [{ stage: "mim", layers: [{ layer: "patch_embed", rate: 0, frozen: true }] }] };
  writeSamples(dir, { learningRates });
  const reconstructions = { stage: "mim", items: [{ id: "a", input: "a", masked: "b", reconstructed: "c" }] };
  writeSamples(dir, { reconstructions });
  expect(readSamples(dir)).toEqual({ learningRates, reconstructions, neighbours: undefined });
});

test("a conflict is read as written, has a line per value in its table, and a wrong one is named", () => {
  const dir = temporaryRun();
  expect(readConflict(dir)).toBeUndefined();
  const distribution = { mean: 0.1, deviation: 0.2, negative: 0.5 };
  const quantiles = { p5: -0.1, p25: 0, p50: 0.1, p75: 0.2, p95: 0.3 };
  const values = { cosines: [-0.1, 0.3], mimNorms: [1.5, 2], clNorms: [0.001, 4] };
  const trend = { rankCorrelation: 0, slopePerBlock: 0, slopeError: 0 };
  const conflict: Conflict = {
    encoder: { stage: "mtl", step: 12, checkpoint: "1-mtl-00000012.final.safetensors" },
    mim: { objective: "mae", partsOf: "mtl", warmUpSteps: 0, loss: 1 },
    cl: { objective: "mocov3", warmUpSteps: 200, loss: 2 },
    batches: 2,
    batch: 8,
    seed: 0,
    rows: [{ block: 0, group: "mlp", ...distribution, quantiles, ...values }],
    trends: { attention: trend, mlp: trend, norm: trend, block: trend },
  };
  writeConflict(dir, conflict);
  expect(readConflict(dir)).toEqual(conflict);
  expect(readFileSync(join(dir, "conflict.csv"), "utf8")).toBe(
    "batch,block,group,cosine,mim_norm,cl_norm\n0,0,mlp,-0.1,1.5,0.001\n1,0,mlp,0.3,2,4\n",
  );
  writeFileSync(join(dir, "conflict.json"), "{}");
  expect(() => readConflict(dir)).toThrow("conflict.json is not as expected at encoder");
});
