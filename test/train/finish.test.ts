import { rmSync } from "node:fs";
import { basename, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { candidatesAt } from "../../src/measure/candidates.ts";
import type { RecipeInput } from "../../src/recipe/recipe.ts";
import { listCheckpoints } from "../../src/run/checkpoint.ts";
import { readFinish } from "../../src/run/finish.ts";
import { readMetrics } from "../../src/run/metrics.ts";
import { readNotes } from "../../src/run/notes.ts";
import type { TrainEvent } from "../../src/train/events.ts";
import { canFinish } from "../../src/train/finish.ts";
import { pretrain } from "../../src/train/pretrain.ts";
import { atStep, sabotaged } from "./sabotage.ts";
import { finalHashes, resumeHere, temporary, timelessMetrics, tiny, trainHere } from "./tiny.ts";

/** A run of 60 steps a stage that was stopped after so many steps of one. */
const stoppedAt = (stage: string, step: number, recipe: RecipeInput = tiny({ epochs: 10 })) =>
  trainHere(recipe, (event) => event.kind === "step" && event.row.stage === stage && event.row.step === step);

const names = (out: string) => listCheckpoints(out).map(({ path }) => basename(path, ".safetensors"));

/** Finishes a run early; returns what it told. */
async function finish(out: string): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  const onEvent = (event: TrainEvent) => void events.push(event);
  expect((await pretrain({ out, resume: true, finish: true, onEvent })).finished).toBe(true);
  return events;
}

describe("a run that is finished early in its first stage", () => {
  let out: string;
  let events: TrainEvent[];
  beforeAll(async () => {
    out = await stoppedAt("mim", 40);
    events = await finish(out);
  });

  it("ends after a tenth more steps, at least five, with a final checkpoint", () => {
    expect(readFinish(out)).toEqual({ stage: "mim", from: 40, to: 45, planned: 60 });
    expect(names(out).at(-1)).toBe("1-mim-00000045.final");
    expect(events.at(-1)).toEqual({ kind: "done", finished: true });
  });

  it("anneals the rate straight from where it stood", () => {
    const rates = readMetrics(out).map(({ learningRate }) => learningRate as number);
    expect(rates).toHaveLength(45);
    const start = rates[40]!;
    expect(start).toBeGreaterThan(0);
    for (const [i, share] of [1, 0.8, 0.6, 0.4, 0.2].entries()) expect(rates[40 + i]).toBeCloseTo(share * start, 15);
  });

  it("tells where it ends and what is left out, now and in the notes", () => {
    const value = "at step 45 of 60 of stage mim, annealed from step 40; stage cl is left out";
    expect(readNotes(out).facts).toEqual([{ name: "Finished early", value }]);
    expect(events.find(({ kind }) => kind === "note")).toEqual({
      kind: "note",
      text: `this run finishes early, ${value}`,
    });
    const estimate = events.find((event) => event.kind === "estimate")!;
    expect(estimate.stages.map(({ stage, steps }) => [stage, steps])).toEqual([["mim", 5]]);
    expect(events.find(({ kind }) => kind === "stage")).toMatchObject({ steps: 45, epochs: 7.5, from: 40 });
  });

  it("has the candidates that there are", () => {
    expect(candidatesAt(out, {}).candidates.map(({ name }) => name)).toEqual(["random", "pixels", "mim"]);
  });

  it("has nothing left to do", async () => {
    const before = [names(out), finalHashes(out), timelessMetrics(out)];
    expect((await pretrain({ out, resume: true })).finished).toBe(true);
    await expect(pretrain({ out, resume: true, finish: true })).rejects.toThrow(
      `the run in ${out} has finished: there is no training left to finish early`,
    );
    expect([names(out), finalHashes(out), timelessMetrics(out)]).toEqual(before);
    expect(canFinish(out)).toBe(false);
  });
});

describe("a finish that is interrupted", () => {
  it.each([
    ["killed in it", "cl", atStep("cl", 54, `process.kill(process.pid, "SIGKILL")`)],
    ["killed before its first step", "mim", `setTimeout(() => process.kill(process.pid, "SIGKILL"), 1);`],
  ])("ends, resumed, as one that was not: %s", async (_, stage, script) => {
    const recipe = tiny({ epochs: 20 });
    const [straight, out] = [await stoppedAt(stage, 50, recipe), await stoppedAt(stage, 50, recipe)];
    await finish(straight);
    await expect(sabotaged(script, () => pretrain({ out, resume: true, finish: true }))).rejects.toThrow("SIGKILL");
    expect(listCheckpoints(out).some((each) => each.stage === stage && each.final)).toBe(false);
    await resumeHere(out);
    expect(listCheckpoints(out).at(-1)).toMatchObject({ stage, step: 55, final: true });
    expect(finalHashes(out)).toEqual(finalHashes(straight));
    expect(timelessMetrics(out)).toEqual(timelessMetrics(straight));
  });

  it("may be asked for again", async () => {
    const out = await stoppedAt("mim", 40);
    const controller = new AbortController();
    controller.abort();
    const asked = { out, resume: true, finish: true };
    expect((await pretrain({ ...asked, signal: controller.signal })).finished).toBe(false);
    const decided = readFinish(out);
    expect((await pretrain(asked)).finished).toBe(true);
    expect(readFinish(out)).toEqual(decided);
  });
});

describe("a run that is finished early", () => {
  it("between two stages ends with the first", async () => {
    const out = await stoppedAt("mim", 12, tiny());
    expect(listCheckpoints(out).at(-1)).toMatchObject({ stage: "cl", step: 0 });
    const before = finalHashes(out);
    const events = await finish(out);
    expect(events.map(({ kind }) => kind)).toEqual(["started", "note", "done"]);
    expect(events[1]).toMatchObject({ text: "this run finishes early, after stage mim; stage cl is left out" });
    expect(finalHashes(out)).toEqual(before);
    await expect(finish(out)).rejects.toThrow("has finished");
  });

  it("in its last stage has both, and leaves nothing out", async () => {
    const out = await stoppedAt("cl", 30, tiny({ epochs: 10 }));
    await finish(out);
    expect(Object.keys(finalHashes(out))).toEqual([
      "1-mim-00000060.final.safetensors",
      "2-cl-00000035.final.safetensors",
    ]);
    expect(readNotes(out).facts).toMatchObject([{ value: "at step 35 of 60 of stage cl, annealed from step 30" }]);
  });

  it("near its end is not made longer", async () => {
    const out = await stoppedAt("mim", 9, tiny());
    await finish(out);
    expect(readFinish(out)).toEqual({ stage: "mim", from: 9, to: 12, planned: 12 });
    expect(Object.keys(finalHashes(out))).toEqual(["1-mim-00000012.final.safetensors"]);
  });

  it("was stopped after its first step, not before", async () => {
    const fresh = join(temporary(), "run");
    await pretrain({ recipe: tiny(), out: fresh, signal: AbortSignal.abort() });
    expect(canFinish(fresh)).toBe(false);
    const nothing = "has saved no step yet, so there is nothing to finish";
    await expect(finish(fresh)).rejects.toThrow(nothing);
    rmSync(join(fresh, "checkpoints"), { recursive: true });
    await expect(finish(fresh)).rejects.toThrow(nothing);
    await expect(pretrain({ out: fresh, finish: true })).rejects.toThrow("give resume, too");
    expect(readFinish(fresh)).toBeUndefined();
  });

  it("with a constant rate falls from the whole of it", async () => {
    const recipe = tiny({ epochs: 10 });
    const constant = { ...recipe, stages: recipe.stages.map((stage) => ({ ...stage, schedule: "constant" as const })) };
    const out = await stoppedAt("mim", 20, constant);
    await finish(out);
    const rates = readMetrics(out).map(({ learningRate }) => learningRate as number);
    const peak = (0.01 * 8) / 256;
    expect(new Set(rates.slice(3, 20))).toEqual(new Set([peak]));
    for (const [i, share] of [1, 0.8, 0.6, 0.4, 0.2].entries()) expect(rates[20 + i]).toBeCloseTo(share * peak, 15);
  });
});
