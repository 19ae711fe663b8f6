/** A batch that is encoded in parts within one graph: the same numbers, to rounding. */
import { describe, expect, it } from "vitest";
import { cpu } from "../../src/backend/cpu.ts";
import { cachedPart } from "../../src/step/micro-batches.ts";
import { expectAllclose } from "../helpers.ts";
import { everyObjective, tinyStep } from "../objectives/tiny.ts";

describe("a batch encoded in parts", () => {
  it.each(everyObjective)("has loss, metrics and gradient of one piece: %s", async (_, objective, batch) => {
    const inParts = (count: number) => {
      const backend = { ...cpu(), cachedRows: (16 / count) * objective.tokens };
      expect(cachedPart(backend, objective, 16)).toBe(16 / count);
      return tinyStep(objective, 16, { backend });
    };
    const [whole, parts] = [await inParts(1), await inParts(4)];
    for (const step of [whole, parts]) await step.resetCopies();
    const [expected, found] = [await whole.gradients(batch), await parts.gradients(batch)];
    expectAllclose([found.loss], [expected.loss]);
    expect([...found.gradients.keys()]).toEqual([...expected.gradients.keys()]);
    for (const [name, { data }] of expected.gradients)
      expectAllclose(found.gradients.get(name)!.data, data, { absolute: 1e-6, relative: 1e-4 }, name);
    const at = { number: 1, rate: 1e-3, progress: 0 };
    const metrics = [await whole.run(batch, at), await parts.run(batch, at)].map((each) => Object.values(each.metrics));
    expectAllclose(metrics[1]!, metrics[0]!);
    await whole.release();
    await parts.release();
  });

  it("has at most eight of them, all of one size", () => {
    const objective = { tokens: 100 } as Parameters<typeof cachedPart>[1];
    const part = (batch: number, rows?: number) =>
      cachedPart({ ...cpu(), ...(rows === undefined ? {} : { cachedRows: rows }) }, objective, batch);
    expect(part(20)).toBe(20);
    expect(part(64)).toBe(16);
    expect(part(512)).toBe(64);
    expect(part(22)).toBe(11);
    expect(part(4, 1)).toBe(1);
  });
});
