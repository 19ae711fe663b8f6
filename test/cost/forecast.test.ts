import { describe, expect, it } from "vitest";
import { paper } from "../../src/methods/paper.ts";
import { forecast, type ForecastOptions, measureSpeed, type Speed } from "../../src/cost/forecast.ts";
import { defineRecipe } from "../../src/recipe/recipe.ts";
import { resolveStages } from "../../src/recipe/stage.ts";
import { stageWork } from "../../src/cost/work.ts";
import { tiny } from "../train/tiny.ts";

const network = { bytesPerSecond: 1e9, latency: 1e-4 };
const speed = { operationsPerSecond: 1e12, updateSeconds: 0.25 };
const recipe = defineRecipe(paper("paper/graft-vit-base", { data: { kind: "synthetic" } }));
const speeds = new Map<string, Speed>([
  ["mim", speed],
  ["cl", { ...speed, lossSeconds: 2 }],
]);
const of = (options: Partial<ForecastOptions> = {}) =>
  forecast(recipe, { images: 1281167, processes: 1, network, speeds, ...options });

describe("a forecast", () => {
  it("counts steps as training does", () => {
    const steps = of().stages.map(({ stepsPerEpoch, steps: all }) => [stepsPerEpoch, all]);
    expect(steps).toEqual([
      [312, 1600 * 312],
      [312, 300 * 312],
    ]);
    const limited = forecast({ ...recipe, limit: 9000 }, { images: 1281167, processes: 1, network, speeds });
    expect(limited).toMatchObject({ images: 9000, stages: [{ stepsPerEpoch: 2 }, { stepsPerEpoch: 2 }] });
  });

  it("has the paper's numbers of parameters", () => {
    const [mim, cl] = of().stages.map(({ work }) => work.parameters);
    expect(mim).toMatchObject({ encoder: 85798656, decoder: 26109184, heads: 0 });
    // projector 20,987,904 and predictor 2,105,344; of 108,150,016 that may learn the final norm's bias has no gradient
    expect(cl).toMatchObject({ encoder: 85798656, decoder: 0, heads: 23093248, trained: 108150016 - 768 });
  });

  it("shares images and nothing else", () => {
    const { totals, stages } = of({ processes: 64 });
    const cl = stages[1]!;
    const one = stageWork(resolveStages(recipe)[1]!).operations.perImage / 1e12; // seconds of an image
    expect(cl.step).toMatchObject({ encode: expect.closeTo(64 * one, 9) as number, loss: 2, update: 0.25 });
    const { gathered, reduced } = cl.work;
    const rounds = 63 * gathered.messages + 126 * reduced.messages;
    const sent = (63 / 64) * (gathered.bytes + 2 * reduced.bytes);
    expect(cl.step.sent).toBeCloseTo(sent, 0);
    expect(cl.step.communication).toBeCloseTo(rounds * 1e-4 + sent / 1e9, 9);
    const row = totals.find(({ processes }) => processes === 64)!;
    expect(row.stages[1]).toEqual({ step: cl.step, seconds: 300 * 312 * cl.step.total });
    expect(totals.map(({ processes }) => processes)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]);
  });

  it("says which numbers of processes cannot share a batch, and what is missing", () => {
    const large = defineRecipe(paper("paper/graft-vit-large", { data: { kind: "synthetic" }, parent: "mae" }));
    const { totals } = forecast(large, { images: 1281167, processes: 80, network, speeds });
    const shared = totals.filter(({ stages }) => stages[0] !== null).map(({ processes }) => processes);
    expect(shared).toEqual([1, 2, 4, 8, 16, 32, 80]); // 2,080 = 2⁵ · 65
    expect(() => forecast(large, { images: 1281167, processes: 64, network, speeds })).toThrow(
      "64 processes cannot share the batch of 2080 of stage cl equally; 52 or 65 can",
    );
    expect(() => of({ images: 4000 })).toThrow("a batch of 4096 is larger than the data set of 4000 images");
    expect(() => of({ speeds: new Map([["mim", speed]]) })).toThrow("no speed is given for stage cl");
  });
});

it("a stage is timed on one micro-batch, of contrast on two and with the loss of the whole batch", async () => {
  const small = defineRecipe(tiny({ microBatch: 4 }));
  const [mim, cl] = await Promise.all(small.stages.map((stage) => measureSpeed(small, { ...stage, microBatch: 4 })));
  expect(mim!.rehearsal).toMatchObject({ stage: "mim", batch: 4, microBatch: 4 });
  expect(cl!.rehearsal).toMatchObject({ stage: "cl", batch: 8, microBatch: 4 });
  expect(mim!.speed.lossSeconds).toBeUndefined();
  expect(cl!.speed.lossSeconds).toBeGreaterThan(0);
  for (const { speed: found } of [mim!, cl!]) expect(found.operationsPerSecond).toBeGreaterThan(0);
});
