import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
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
