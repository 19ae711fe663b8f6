/** The device of a run, as the library and the command ask for it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { listCheckpoints, readCheckpoint } from "../../src/run/checkpoint.ts";
import { readMetrics } from "../../src/run/metrics.ts";
import { readNotes } from "../../src/run/notes.ts";
import type { TrainEvent } from "../../src/train/events.ts";
import { pretrain } from "../../src/train/pretrain.ts";
import { adapter } from "../backend/adapter.ts";
import { temporary, tiny } from "./tiny.ts";

const timeout = 180_000;

it("is the recipe's, which says nothing of it where nobody asked", async () => {
  const out = join(temporary(), "run");
  const { recipe } = await pretrain({ recipe: { ...tiny({ epochs: 1 }) }, out });
  expect(recipe.device).toBeUndefined();
  expect(readFileSync(join(out, "recipe.json"), "utf8")).not.toContain("device");
  expect(readNotes(out).facts).toEqual([]);
});

it("that is not there leaves no run", { timeout }, async () => {
  const out = join(temporary(), "run");
  await expect(pretrain({ recipe: tiny(), out, device: "cuda" })).rejects.toThrow(
    /^the device cuda cannot be used here/,
  );
  const { finished } = await pretrain({ recipe: tiny({ epochs: 1 }), out });
  expect(finished).toBe(true);
});

it.skipIf(!(await adapter()))("begun on webgpu, a run goes on on the processor and says so", { timeout }, async () => {
  const [host, mixed] = ["host", "mixed"].map((name) => join(temporary(), name)) as [string, string];
  await pretrain({ recipe: tiny(), out: host });
  const { signal, onEvent: stop } = stopAt(5);
  const begun = await pretrain({ recipe: tiny(), out: mixed, device: "webgpu", onEvent: stop, signal });
  expect([begun.finished, begun.recipe.device]).toEqual([false, "webgpu"]);
  expect(readMetrics(mixed).every(({ gradientNorm }) => Number(gradientNorm) > 0)).toBe(true);
  const told: string[] = [];
  const onEvent = (event: TrainEvent) => void (event.kind === "note" && told.push(event.text));
  const resumed = await pretrain({ out: mixed, resume: true, device: "cpu", onEvent });
  expect([resumed.finished, resumed.recipe.device]).toEqual([true, "cpu"]);
  expect(told[0]).toBe("the run was begun on webgpu and goes on on cpu: results agree to rounding only");
  expect(readNotes(mixed).facts).toEqual([{ name: "Device", value: "webgpu, then cpu" }]);
  const found = finalWeights(mixed);
  for (const [name, expected] of finalWeights(host))
    expect(distance(found.get(name)!, expected), name).toBeLessThan(1e-4);
});

/** What asks a run to stop after a step. */
function stopAt(step: number) {
  const controller = new AbortController();
  const onEvent = (event: TrainEvent) => void (event.kind === "step" && event.row.step === step && controller.abort());
  return { signal: controller.signal, onEvent };
}

/** Every number of every final checkpoint. */
function finalWeights(dir: string): Map<string, Float32Array> {
  const finals = listCheckpoints(dir).filter(({ final }) => final);
  const all = finals.flatMap(({ stage, path }) =>
    [...readCheckpoint(path).tensors].map(([name, { data }]) => [`${stage}: ${name}`, data as Float32Array] as const),
  );
  return new Map(all);
}

/** The largest difference of two numbers. */
function distance(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
}
