/** A whole run on a WebGPU device: trained, watched, evaluated, stopped, taken up again, and taken to the CPU and back. */
import { expect, it } from "vitest";
import { readCheckpoint, listCheckpoints } from "../../src/run/checkpoint.ts";
import { readMetrics } from "../../src/run/metrics.ts";
import { evaluate } from "../../src/measure/evaluate.ts";
import { defineRecipe, type RecipeInput } from "../../src/recipe/recipe.ts";
import { train } from "../../src/train/loop.ts";
import type { TrainEvent } from "../../src/train/events.ts";
import { adapter } from "../backend/adapter.ts";
import { finalHashes, tiny, trainHere } from "./tiny.ts";

type Device = NonNullable<RecipeInput["device"]>;
const on = (device: Device): RecipeInput => {
  const { stages, ...recipe } = tiny({ epochs: 1 });
  const [mim, cl] = stages;
  const watched = { ...cl!, monitors: [{ kind: "features" as const, everyEpochs: 1, images: 16 }] };
  return { ...recipe, device, stages: [mim!, watched] };
};

/** Goes on with a run on a device, to its end or until an event for which `until` holds. */
async function goOn(out: string, device: Device, until?: (event: TrainEvent) => boolean): Promise<void> {
  let stop = false;
  const emit = (event: TrainEvent) => void (stop ||= until?.(event) ?? false);
  await train(out, defineRecipe(on(device)), { resume: true, emit, stopRequested: () => stop });
}

const afterSteps = (stage: string, steps: number) => (event: TrainEvent) =>
  event.kind === "step" && event.row.stage === stage && event.row.step === steps;

function weights(out: string): number[] {
  const { path } = listCheckpoints(out).at(-1)!;
  return [...readCheckpoint(path).tensors.values()].flatMap(({ data }) => [...data].map(Number));
}

it.skipIf(!(await adapter()))("a run on a device is a run like any other", async () => {
  const whole = await trainHere(on("webgpu"));
  const rows = readMetrics(whole);
  expect(rows.map(({ loss }) => Number.isFinite(loss))).not.toContain(false);
  expect(rows.every(({ gradientNorm }) => Number(gradientNorm) > 0)).toBe(true);
  expect(rows.some((row) => row["features.deviation"] !== undefined)).toBe(true);
  const { columns, rows: scores } = await evaluate(whole, { protocols: ["knn"], device: "webgpu" });
  expect(columns.map(({ name }) => name)).toEqual(["random", "pixels", "mim", "cl"]);
  expect(Object.values(scores[0]!.values).every((value) => Number(value) > 0)).toBe(true);

  // stopped and taken up again it ends bit for bit alike
  const stopped = await trainHere(on("webgpu"), afterSteps("cl", 2));
  await goOn(stopped, "webgpu");
  expect(finalHashes(stopped)).toEqual(finalHashes(whole));

  // begun on the CPU, gone on on the device, and back: as on either, to rounding
  const moved = await trainHere(on("cpu"), afterSteps("mim", 3));
  await goOn(moved, "webgpu", afterSteps("cl", 2));
  await goOn(moved, "cpu");
  const [expected, found] = [weights(whole), weights(moved)];
  const size = Math.hypot(...expected);
  expect(Math.hypot(...found.map((x, i) => x - expected[i]!)) / size).toBeLessThan(1e-3);
});
