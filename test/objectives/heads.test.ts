import { describe, expect, it } from "vitest";
import { spread } from "../../src/objectives/heads.ts";
import { draw, floats, randomFor, valueOf } from "../helpers.ts";

describe("spread", () => {
  const random = randomFor("spread");
  const stdOf = async (features: ReturnType<typeof floats>) => Number((await valueOf(spread, features)).data[0]);

  it("is near 1 for random features, whatever their size", async () => {
    const features = draw("float32", [256, 1, 32], random);
    expect(await stdOf(features)).toBeGreaterThan(0.95);
    expect(await stdOf(features)).toBeLessThan(1.05);
    const large = features.data.map((x) => 100 * x);
    expect(await stdOf(floats(features.shape, large))).toBeGreaterThan(0.95);
  });
  it("is 0 for collapsed ones", async () => {
    const row = draw("float32", [32], random).data;
    const collapsed = Array.from({ length: 256 }, (_, i) => row[i % 32]!);
    expect(await stdOf(floats([8, 1, 32], collapsed))).toBeLessThan(1e-3);
  });
});
