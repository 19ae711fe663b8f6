import { describe, expect, it } from "vitest";
import { joint } from "../../src/objectives/joint.ts";
import { mae } from "../../src/objectives/mae.ts";
import { maeBatch, maeOptions, mocoBatch, model, tinyMae, tinyMoco, tinyStep } from "./tiny.ts";

const mim = mae(model, maeOptions, "base_encoder.");
const batch = { ...maeBatch(8), ...mocoBatch(8) };

describe("joint", () => {
  it("adds both losses, and both gradients where the encoder is shared", async () => {
    const both = await tinyStep(joint(mim, tinyMoco, { mimWeight: 2, clWeight: 0.5 }), 8);
    const parts = await Promise.all([mim, tinyMoco].map((objective) => tinyStep(objective, 8)));
    const initial = await both.state.read();
    for (const part of parts) await part.state.write(initial);
    const whole = await both.gradients(batch);
    const [first, second] = await Promise.all(parts.map((part) => part.gradients(batch)));
    expect(whole.loss).toBeCloseTo(2 * first!.loss + 0.5 * second!.loss, 4);
    let shared = 0;
    for (const [name, { data }] of whole.gradients) {
      const a = first!.gradients.get(name)?.data;
      const b = second!.gradients.get(name)?.data;
      if (a !== undefined && b !== undefined) shared++;
      for (const [i, got] of [...(data as Float32Array)].entries())
        expect(got, name).toBeCloseTo(2 * Number(a?.[i] ?? 0) + 0.5 * Number(b?.[i] ?? 0), 4);
    }
    expect(shared).toBeGreaterThan(20);
    expect(whole.gradients.size).toBe(new Set([...first!.gradients.keys(), ...second!.gradients.keys()]).size);
    await Promise.all([both, ...parts].map((step) => step.release()));
  });
  it("keeps the position embedding of masked image modelling in both encoders", async () => {
    const both = await tinyStep(joint(mim, tinyMoco, { mimWeight: 1, clWeight: 1 }), 8);
    const alone = await tinyStep(tinyMae, 8);
    await both.resetCopies();
    const tables = [...(await both.state.read())].filter(([name]) => name.endsWith("encoder.pos_embed"));
    expect(tables.map(([name]) => name).sort()).toEqual(["base_encoder.pos_embed", "momentum_encoder.pos_embed"]);
    const expected = (await alone.state.read()).get("pos_embed")!.data;
    for (const [, { data }] of tables) expect(data).toEqual(expected);
    await Promise.all([both.release(), alone.release()]);
  });
  it("wants one encoder", () => {
    expect(() => joint(tinyMae, tinyMoco, { mimWeight: 1, clWeight: 1 })).toThrow(
      'joint training needs one encoder, but mae has "" and mocov3 "base_encoder."',
    );
  });
});
