import { beforeAll, describe, expect, it } from "vitest";
import { measureConflict } from "../../src/train/conflict.ts";
import { defineRecipe } from "../../src/train/recipe.ts";
import { finalHashes, resumeHere, timelessMetrics, tiny, tinyJoint, trainHere } from "./tiny.ts";

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

it("a stage of one loss has no conflict to watch", () => {
  const recipe = tiny();
  const stages = [{ ...recipe.stages[0]!, monitors: [conflict] }];
  expect(() => defineRecipe({ ...recipe, stages })).toThrow(
    "stages.0.monitors: the conflict of two losses can be watched in a joint stage only",
  );
});
