import { describe, expect, it } from "vitest";
import { allGather, allReduce, stepCost, type StepDemand } from "../../src/cost/communication.ts";

const network = { bytesPerSecond: 1000, latency: 0.01 };
const message = { bytes: 400, messages: 1 };

describe("a ring", () => {
  it("gathers in N - 1 rounds of an N-th", () => {
    // 400 bytes on 4 processes: 3 rounds of 100 bytes, each 0.01 s + 0.1 s
    expect(allGather(message, 4, network)).toEqual({ sent: 300, seconds: expect.closeTo(0.33, 12) as number });
  });
  it("reduces in twice as many", () => {
    // 6 rounds of 100 bytes
    expect(allReduce(message, 4, network)).toEqual({ sent: 600, seconds: expect.closeTo(0.66, 12) as number });
  });
  it("waits once more for every message, and sends no more", () => {
    // 6 rounds of each of 5 messages: 30 · 0.01 s, and 600 bytes
    const five = { ...message, messages: 5 };
    expect(allReduce(five, 4, network)).toEqual({ sent: 600, seconds: expect.closeTo(0.9, 12) as number });
  });
  it("of one process sends nothing", () => {
    for (const exchange of [allGather, allReduce])
      expect(exchange(message, 1, network)).toEqual({ sent: 0, seconds: 0 });
  });
});

describe("a step", () => {
  const step: StepDemand = {
    batch: 8,
    imageSeconds: 0.5,
    lossSeconds: 0.4,
    updateSeconds: 0.5,
    gathered: { bytes: 400, messages: 2 },
    reduced: { bytes: 800, messages: 1 },
  };
  it("on one process is its images, its loss and its update", () => {
    const apart = { encode: 4, loss: 0.4, update: 0.5, communication: 0 };
    expect(stepCost(step, 1, network)).toEqual({ ...apart, total: 4.9, sent: 0 });
  });
  it("on four has a quarter of the images and all of the rest", () => {
    // gather 3 · 2 · 0.01 + 300 / 1000 = 0.36 s; reduce 6 · 0.01 + 1200 / 1000 = 1.26 s
    const cost = stepCost(step, 4, network)!;
    expect(cost).toMatchObject({ encode: 1, loss: 0.4, update: 0.5, sent: 1500 });
    expect(cost.communication).toBeCloseTo(1.62, 12);
    expect(cost.total).toBeCloseTo(3.52, 12);
  });
  it("that gathers nothing waits for nothing there", () => {
    const alone = { ...step, gathered: { bytes: 0, messages: 0 } };
    expect(stepCost(alone, 4, network)!.communication).toBeCloseTo(1.26, 12);
  });
  it("is not shared by processes that do not divide the batch", () => {
    expect(stepCost(step, 3, network)).toBeUndefined();
    expect(stepCost(step, 16, network)).toBeUndefined();
  });
});
