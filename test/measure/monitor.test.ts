import { beforeAll, describe, expect, it } from "vitest";
import { loadEncoder } from "../../src/evaluators/encoder.ts";
import { readNotes } from "../../src/run/notes.ts";
import { measureConflict } from "../../src/measure/conflict.ts";
import type { TrainEvent } from "../../src/train/events.ts";
import { defineRecipe } from "../../src/recipe/recipe.ts";
import { openSlice } from "../../src/measure/slice.ts";
import { finalHashes, resumeHere, timelessMetrics, tiny, tinyJoint, tinyStages, trainHere } from "../train/tiny.ts";

const features = { kind: "features" as const, everyEpochs: 0.5, images: 20 };
const measured = ["features.deviation", "knn.accuracy", "knn.chance"];
/** Two stages, or one joint stage that is watched for both. */
function looked(recipe: ReturnType<typeof tiny> | ReturnType<typeof tinyJoint>) {
  return {
    ...recipe,
    stages: recipe.stages.map((stage) => ({
      ...stage,
      monitors: stage.objective.kind === "joint" ? [conflict, features] : [features],
    })),
  };
}

const conflict = { kind: "conflict" as const, everyEpochs: 0.5, batches: 2 };
function watched() {
  const recipe = tinyJoint();
  return { ...recipe, stages: [{ ...recipe.stages[0]!, monitors: [conflict] }] };
}
const names = [0, 1].flatMap((block) => [`conflict.block.${block}`, `conflict.negative.${block}`]);

describe("a watched stage", () => {
  let plain: string;
  let straight: string;
  beforeAll(async () => {
    plain = await trainHere(tinyJoint());
    straight = await trainHere(watched());
  });

  it("is trained as one that is not watched, bit for bit, and logs the same beside", () => {
    expect(finalHashes(straight)).toEqual(finalHashes(plain));
    const without = timelessMetrics(straight).map((row) =>
      Object.fromEntries(Object.entries(row).filter(([name]) => !names.includes(name))),
    );
    expect(without).toEqual(timelessMetrics(plain));
  });

  it("logs the conflict of every block when it is due", () => {
    for (const row of timelessMetrics(straight)) {
      const found = Object.keys(row).filter((name) => name.startsWith("conflict."));
      expect(found, `step ${row["step"]}`).toEqual(Number(row["step"]) % 3 === 0 ? names : []);
    }
  });

  it("logs at its end what is measured on its checkpoint", async () => {
    const last = timelessMetrics(straight).at(-1)!;
    const { rows } = await measureConflict(straight, { batches: 2 });
    for (const { block, group, mean, negative } of rows)
      if (group === "block")
        expect([last[`conflict.block.${block}`], last[`conflict.negative.${block}`]]).toEqual([mean, negative]);
  });

  it("logs the same when it was stopped and resumed", async () => {
    const out = await trainHere(watched(), (event) => event.kind === "step" && event.row.step === 7);
    await resumeHere(out);
    expect(finalHashes(out)).toEqual(finalHashes(straight));
    expect(timelessMetrics(out)).toEqual(timelessMetrics(straight));
  });
});

describe("a stage whose features are watched", () => {
  let straight: string;
  beforeAll(async () => {
    straight = await trainHere(looked(tiny()));
  });

  it.each([
    ["MIM and CL", tiny],
    ["both at once", tinyJoint],
  ] as const)("is trained as one that is not, bit for bit, and logs the same beside: %s", async (_, recipe) => {
    const plain = await trainHere(recipe());
    const out = await trainHere(looked(recipe()));
    expect(finalHashes(out)).toEqual(finalHashes(plain));
    const without = timelessMetrics(out).map((row) =>
      Object.fromEntries(Object.entries(row).filter(([name]) => !/^(features|knn|conflict)\./.test(name))),
    );
    expect(without).toEqual(timelessMetrics(plain));
  });

  it("logs k-NN and deviation after its first step, when they are due and at its end", () => {
    for (const row of timelessMetrics(straight)) {
      const found = Object.keys(row).filter((name) => /^(features|knn)\./.test(name));
      expect(found, `step ${row["step"]}`).toEqual([1, 3, 6, 9, 12].includes(Number(row["step"])) ? measured : []);
    }
  });

  it.each(["mim", "cl"])("logs at the end of %s what its checkpoint gives", async (stage) => {
    const recipe = defineRecipe(tiny());
    const slice = await openSlice(recipe.data, recipe.evaluationView, { images: 20, seed: 0, threads: 1 });
    const encoder = await loadEncoder(straight, { stage, batch: slice.batch, threads: 1 });
    const { deviation, knn } = await slice.measure(encoder);
    await encoder.release();
    const last = timelessMetrics(straight).findLast((row) => row["stage"] === stage)!;
    expect(measured.map((name) => last[name])).toEqual([deviation, knn!.accuracy, knn!.chance]);
  });

  it("logs the same when it was stopped and resumed", async () => {
    const at = (event: TrainEvent) => event.kind === "step" && event.row.stage === "cl" && event.row.step === 7;
    const out = await trainHere(looked(tiny()), at);
    await resumeHere(out);
    expect(finalHashes(out)).toEqual(finalHashes(straight));
    expect(timelessMetrics(out)).toEqual(timelessMetrics(straight));
  });
});

describe("a stage whose features collapse", () => {
  const { mim } = tinyStages({ epochs: 3, learningRate: 30 }); // far too high for anything to be learned
  const recipe = { ...tiny(), stages: [{ ...mim, monitors: [features] }] };
  const sentence = /^The features of stage mim have collapsed: .* lower learning rate \(now 30\)/;
  const notes = (events: readonly TrainEvent[]) => events.filter(({ kind }) => kind === "note");

  it("says so once, in a note and for the report", async () => {
    const events: TrainEvent[] = [];
    const out = await trainHere(recipe, (event) => events.push(event) < 0);
    expect(notes(events)).toEqual([{ kind: "note", text: expect.stringMatching(sentence) }]);
    expect(readNotes(out).warnings).toEqual([expect.stringMatching(sentence)]);
  });

  it("does not say so again when it is resumed", async () => {
    const out = await trainHere(recipe, ({ kind }) => kind === "note");
    const rest = await resumeHere(out);
    expect(rest.some((event) => event.kind === "step" && "features.deviation" in event.row)).toBe(true);
    expect(notes(rest)).toEqual([]);
    expect(readNotes(out).warnings).toHaveLength(1);
  });
});

it("a stage of one loss has no conflict to watch", () => {
  const recipe = tiny();
  const stages = [{ ...recipe.stages[0]!, monitors: [conflict] }];
  expect(() => defineRecipe({ ...recipe, stages })).toThrow(
    "stages.0.monitors: the conflict of two losses can be watched in a joint stage only",
  );
});
